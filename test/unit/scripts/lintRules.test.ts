import { ESLint, Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { describe, expect, it } from 'vitest';

const RULE = 'no-restricted-syntax';

/** The messages of the rule that restricts syntax, for code at a path. */
async function messagesFor(file: string, code: string): Promise<string[]> {
  const config = (await new ESLint().calculateConfigForFile(file)) as {
    readonly rules: Linter.RulesRecord;
  };
  const rule = config.rules[RULE];
  const found = new Linter().verify(
    code,
    {
      files: ['**/*.ts'],
      languageOptions: { parser: tseslint.parser },
      rules: rule === undefined ? {} : { [RULE]: rule },
    },
    'x.ts',
  );
  return found.map(({ message }) => message);
}

describe('a feature of the extension cannot show text by itself', () => {
  it.each([
    'vscode.window.showInformationMessage(text);',
    'const { showErrorMessage } = vscode.window;',
    "vscode.window['showWarningMessage'](text);",
    'const show = vscode.window.showQuickPick;',
    'vscode.window.createStatusBarItem();',
    'vscode.window.withProgress(options, job);',
    'vscode.env.clipboard.writeText(text);',
    'new vscode.MarkdownString(text);',
    'new vscode.TreeItem(text);',
    'new vscode.Diagnostic(range, text);',
    'panel.title = text;',
    'item.tooltip ||= text;',
  ])('%s', async (code) => {
    expect(await messagesFor('src/host/runs/x.ts', code)).not.toEqual([]);
    expect(await messagesFor('src/host/ui/x.ts', code)).toEqual([]);
  });
});

describe('a command of the engine cannot write to a stream by itself', () => {
  it.each([
    'process.stdout.write(text);',
    "process['stderr'].write(text);",
    'console.log(text);',
    'const { write } = process.stdout;',
  ])('%s', async (code) => {
    expect(await messagesFor('src/engine/commands/x.ts', code)).not.toEqual([]);
    expect(await messagesFor('src/engine/terminal.ts', code)).toEqual([]);
  });
});

describe('a page cannot draw text by itself', () => {
  it.each([
    "import { html, nothing } from 'lit-html';",
    "import { unsafeHTML } from 'lit-html/directives/unsafe-html.js';",
    'element.innerHTML = text;',
  ])('%s', async (code) => {
    expect(await messagesFor('webview/inspect/x.ts', code)).not.toEqual([]);
  });

  it('but through the one template', async () => {
    const code = "import { html } from 'lit-html';";
    expect(await messagesFor('webview/shared/html.ts', code)).toEqual([]);
  });
});

describe('a script or test cannot start a program by its bare name or through a shell', () => {
  it.each([
    "spawn('npm', ['ci']);",
    "spawnSync('git', args);",
    "execFileSync('python3', args);",
    "execFile('./tool', args);",
    "execSync('ls');",
    'spawn(program, args, { shell: true });',
    "spawn(program, args, { shell: process.platform === 'win32' });",
  ])('%s', async (code) => {
    for (const file of ['scripts/x.mjs', 'test/support/x.ts', 'test/workbench/x.test.mjs'])
      expect(await messagesFor(file, code)).toHaveLength(1);
  });

  it.each([
    "spawn(programPath('git'), args);",
    'spawn(process.execPath, args);',
    "spawn('/usr/bin/script', args);",
    '/a/.exec(text);',
  ])('but %s', async (code) => {
    expect(await messagesFor('scripts/x.mjs', code)).toEqual([]);
  });
});
