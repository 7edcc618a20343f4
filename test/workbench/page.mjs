// Helpers for the workbench tests: waiting, menus and commands, and the packaged extension.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import * as d from './drive.mjs';
import { packageVsix } from './packageVsix.mjs';
import { until } from './until.mjs';
import { installWorkbench, root, runtimeFolder } from './workspace.mjs';

export { packageVsix } from './packageVsix.mjs';
export { LIMIT, until } from './until.mjs';

/** Options with which the command line answers as a playground does. */
export const AS_PLAYGROUND = ['--base-dtype', 'auto', '--products', 'rounded'];

/** A loss as the dashboard formats it. */
export const formatLoss = (loss) =>
  new Intl.NumberFormat(
    'en',
    Math.abs(loss) < 1
      ? { maximumSignificantDigits: 4 }
      : { maximumFractionDigits: Math.abs(loss) < 10 ? 4 : 3 },
  ).format(loss);

/** Saves to a file by VS Code's own dialog, which can put its suggestion back while one types. */
export async function saveAs(page, file) {
  const dialog = page.locator('.quick-input-widget');
  const input = dialog.locator('input[type=text]');
  await until(
    async () => (await input.inputValue()).endsWith(path.extname(file)),
    'the suggested name',
  );
  await until(async () => {
    if (!(await dialog.isVisible())) return true;
    await input.fill(file);
    await dialog.getByRole('button', { name: 'OK' }).click();
    return succeeds(dialog.waitFor({ state: 'hidden', timeout: 2_000 }));
  }, 'the end of the dialog');
}

/** Whether a wait succeeds. */
export const succeeds = (wait) =>
  wait.then(
    () => true,
    () => false,
  );

/** Waits until what is typed goes into the quick pick or input box. */
export const inputFocused = (page, timeout) =>
  page.locator('.quick-input-widget input:focus').waitFor({ timeout });

/** Moves the mouse onto an element until its hover shows a text; returns the hover. */
export async function hoverShows(page, target, text) {
  const hover = page
    .locator('.monaco-hover:visible, .workbench-hover:visible', { hasText: text })
    .first();
  await until(async () => {
    await page.mouse.move(0, 0);
    await target.hover();
    return succeeds(hover.waitFor({ timeout: 10_000 }));
  }, `a hover with ${text}`);
  return hover;
}

/** What a quick pick shows, for the message of a failed wait. */
async function describeList(page) {
  const rows = await page.locator('.quick-input-list .monaco-list-row').allInnerTexts();
  const focused = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200));
  return `rows: ${JSON.stringify(rows.slice(0, 5))}, focused: ${focused}`;
}

/**
 * Opens a quick pick with a key, types into it and accepts the row that shows `shown`. Tries again
 * if the row is missing because the quick pick was opened too early.
 */
async function acceptMatch(page, key, text, shown = text) {
  const row = page.locator('.quick-input-list .monaco-list-row.focused', { hasText: shown });
  let seen = '';
  const isOffered = async () => {
    await page.keyboard.press(key);
    if (await succeeds(inputFocused(page, 10_000))) {
      await page.keyboard.type(text);
      if (await succeeds(row.waitFor({ timeout: 10_000 }))) return true;
    }
    seen = await describeList(page);
    await page.keyboard.press('Escape');
    return false;
  };
  await until(isOffered, `${shown} in the list`).catch((cause) => {
    throw new Error(`${cause.message}; ${seen}`, { cause });
  });
  await page.keyboard.press('Enter');
}

/** Runs a command from the palette, with the keyboard only. */
export const palette = (page, title) => acceptMatch(page, 'F1', title);

/**
 * Runs a command, and picks a row in each of the lists that it opens: [placeholder, label]. Begins
 * again if a webview that takes the focus back has closed a list.
 */
export const commandPick = (page, command, ...picks) =>
  until(
    async () => {
      await d.runCommand(page, command);
      for (const pick of picks) if (!(await succeeds(pickRow(page, pick)))) return false;
      return true;
    },
    `${picks.join('; ')} in the lists of ${command}`,
  );

async function pickRow(page, [placeholder, label]) {
  await page
    .locator(`.quick-input-widget input[placeholder*="${placeholder}"]`)
    .waitFor({ timeout: 10_000 });
  await page
    .locator('.quick-input-list .monaco-list-row', { hasText: label })
    .first()
    .click({ timeout: 10_000 });
}

/** Accepts an input box as it is, whichever page has the focus. */
export async function acceptInput(page, title) {
  await page.locator('.quick-input-title', { hasText: title }).waitFor();
  await page.locator('.quick-input-widget input[type=text]').press('Enter');
}

/** Opens a file by its name in the workspace or its full path, with the keyboard only. */
export async function openFile(page, name) {
  const shown = path.isAbsolute(name) ? path.basename(name) : name;
  await acceptMatch(page, 'Control+p', name, shown);
  await page.locator('.tab.active', { hasText: path.basename(name) }).waitFor();
  if (/\.jsonl?$/.test(name))
    // commands may not know the file before
    await page.locator('.editor-instance .monaco-editor.focused').waitFor();
}

/**
 * Chooses an entry of a row's context menu, which ignores clicks in its first 100 ms. Soon after
 * the start the entry may be missing or do nothing: then the menu is opened again.
 */
export async function chooseInMenu(page, row, label) {
  const entry = page
    .locator('.context-view .action-item:not(.disabled) .action-label', { hasText: label })
    .first();
  await until(async () => {
    await page.mouse.move(0, 0); // the card of another row may lie over this one
    await row.click({ button: 'right' });
    const open = await succeeds(entry.hover({ timeout: 10_000 }));
    await page.waitForTimeout(200);
    if (
      open &&
      (await succeeds(entry.click({ timeout: 10_000 }))) &&
      (await succeeds(entry.waitFor({ state: 'hidden', timeout: 10_000 })))
    )
      return true;
    await page.keyboard.press('Escape');
    return false;
  }, `the menu entry ${label}`);
}

/** Chooses an entry of a submenu of a row's context menu. */
export async function chooseInSubmenu(page, row, submenu, label) {
  const menus = page.locator('.context-view .monaco-menu');
  const opener = menus
    .locator('.action-item .action-menu-item', { hasText: submenu })
    .filter({ has: page.locator('.submenu-indicator') })
    .first();
  const entry = menus
    .locator('.action-item:not(.disabled) .action-label', { hasText: label })
    .first();
  await until(async () => {
    await page.mouse.move(0, 0); // the card of another row may lie over this one
    await row.click({ button: 'right' });
    const open = await succeeds(opener.click({ timeout: 10_000 }));
    if (open && (await succeeds(entry.hover({ timeout: 10_000 })))) {
      await page.waitForTimeout(200);
      if (
        (await succeeds(entry.click({ timeout: 10_000 }))) &&
        (await succeeds(entry.waitFor({ state: 'hidden', timeout: 10_000 })))
      )
        return true;
    }
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    return false;
  }, `the entry ${label} of the submenu ${submenu}`);
}

/** Parses a JSON file; undefined while it is missing or incomplete. */
export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Every file and folder below a folder: name, size, modification time. */
export function contentsOf(folder) {
  return readdirSync(folder, { recursive: true })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(path.join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    });
}

/** The body of a page in each theme. */
const PAGE_THEMES = {
  dark: 'body.vscode-dark',
  light: 'body.vscode-light',
  'high-contrast': 'body.vscode-high-contrast:not(.vscode-high-contrast-light)',
  'high-contrast-light': 'body.vscode-high-contrast-light',
};

/**
 * Takes a screenshot of the window in each theme, and asserts that axe finds no serious violation
 * on the page `frame`.
 */
export async function checkThemes(server, page, name, frame = d.webview(page)) {
  const axe = readFileSync(
    createRequire(path.join(root, 'package.json')).resolve('axe-core/axe.min.js'),
    'utf8',
  );
  for (const theme of ['light', 'high-contrast', 'high-contrast-light', 'dark']) {
    await d.setTheme(server, page, theme);
    await frame.locator(PAGE_THEMES[theme]).waitFor();
    await d.screenshot(page, path.join(root, 'out', 'screenshots', `${name}-${theme}.png`));
    const body = await frame.locator('body').elementHandle();
    const own = await body.ownerFrame();
    await own.evaluate(axe); // through the debugger, as the page's policy blocks scripts
    const serious = await own.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document);
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(' ')}`);
    });
    assert.deepEqual(serious, [], `${name} in ${theme}`);
  }
}

/**
 * Opens a workspace in the workbench, with the extension and its runtime, and shows the LoRA view.
 * `close` stops server and browser.
 */
export async function openWorkbench(workspace) {
  const server = await d.launchServer({
    dir: installWorkbench(),
    workspace,
    vsix: [packageVsix()],
    settings: { 'lora.runtime.path': runtimeFolder() },
  });
  let browser;
  const close = async () => {
    await browser?.close();
    await server.stop();
  };
  try {
    const opened = await d.openPage(server);
    browser = opened.browser;
    await d.openView(opened.page, 'LoRA');
    return { server, page: opened.page, close };
  } catch (error) {
    await close();
    throw error;
  }
}
