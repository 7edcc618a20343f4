// What the tests of the workbench share: waiting, and the extension as a package.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { root } from './workspace.mjs';

/** Looks again until there is something to see. */
export async function until(look, what, seconds = 90) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}

export function packageVsix() {
  for (const name of readdirSync(root).filter((file) => file.endsWith('.vsix'))) rmSync(path.join(root, name));
  const { status, stderr } = spawnSync(process.execPath, [path.join(root, 'scripts', 'package.mjs')], { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return path.join(root, readdirSync(root).find((file) => file.endsWith('.vsix')));
}

/** A loss as the dashboard writes it. */
export const shown = (loss) => new Intl.NumberFormat('en', Math.abs(loss) < 1 ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: Math.abs(loss) < 10 ? 4 : 3 }).format(loss);

/** Runs a command by the palette, with the keyboard alone. */
export async function palette(page, title) {
  await page.keyboard.press('F1');
  await page.locator('.quick-input-widget input[type=text]').waitFor();
  await page.keyboard.type(title);
  await page.locator('.quick-input-list .monaco-list-row.focused', { hasText: title }).waitFor();
  await page.keyboard.press('Enter');
}

/** Opens a file of the workspace by its name, with the keyboard alone. */
export async function openFile(page, name) {
  await page.keyboard.press('Control+p');
  await page.locator('.quick-input-widget input[type=text]').waitFor();
  await page.keyboard.type(name);
  await page.locator('.quick-input-list .monaco-list-row.focused', { hasText: name }).waitFor();
  await page.keyboard.press('Enter');
  await page.locator('.tab.active', { hasText: path.basename(name) }).waitFor();
}

/** Takes an entry of a row's menu, which overlooks a click that comes too soon. */
export async function chooseInMenu(page, row, label) {
  await row.click({ button: 'right' });
  const item = page.locator('.context-view .action-label', { hasText: label }).first();
  await until(async () => { await item.click(); return item.waitFor({ state: 'hidden', timeout: 1000 }).then(() => true, () => false); }, `the menu to take ${label}`);
}

/** Every file and folder below: name, size, time of the last change. */
export function contentsOf(folder) {
  return readdirSync(folder, { recursive: true }).sort().map((name) => {
    const { size, mtimeMs } = statSync(path.join(folder, name));
    return `${name} ${size} ${mtimeMs}`;
  });
}
