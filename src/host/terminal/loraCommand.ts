import path from 'node:path';
/** What the command starts, and with which runtime. */
export interface CommandPlace {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  /** Folder in which the extension installs runtimes; it may not be there. */
  readonly home: string;
  /** Variables that choose the runtime; null: not set. */
  readonly variables: RuntimeVariables;
}

/** By the setting or extension that each is for. */
export interface RuntimeVariables {
  /** The setting lora.runtime.path. */
  readonly LORA_RUNTIME_PATH: string | null;
  /** The setting lora.runtime.url. */
  readonly LORA_RUNTIME_URL: string | null;
  /** The folder of the companion extension. */
  readonly LORA_RUNTIME_COMPANION: string | null;
}

const chosen = (variables: RuntimeVariables): readonly (readonly [string, string])[] =>
  Object.entries(variables).flatMap(([name, value]: [string, string | null]) =>
    value === null ? [] : [[name, value] as const],
  );

/** The script of the command for shells of Unix. Variables of the user win. */
export function shellScript({ node, cli, home, variables }: CommandPlace): string {
  const lines = [
    '#!/bin/sh',
    'ELECTRON_RUN_AS_NODE=1',
    'export ELECTRON_RUN_AS_NODE',
    `if [ -z "$LORA_RUNTIME_HOME" ] && [ -d ${quoted(home)} ]; then`,
    `  LORA_RUNTIME_HOME=${quoted(home)}`,
    '  export LORA_RUNTIME_HOME',
    'fi',
    ...chosen(variables).flatMap(([name, value]) => [
      `if [ -z "$${name}" ]; then`,
      `  ${name}=${quoted(value)}`,
      `  export ${name}`,
      'fi',
    ]),
    `exec ${quoted(node)} ${quoted(cli)} "$@"`,
  ];
  return `${lines.join('\n')}\n`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The same for cmd and PowerShell, to be written into `folder`. cmd reads each line of the file
 * with the code page of the console, which has no umlauts or other letters where this file has
 * them: it is UTF-8 meanwhile, and paths below the user's folder are written without its name.
 */
export function batchScript({ node, cli, home, variables }: CommandPlace, folder: string): string {
  const at = (file: string) => escapedPath(file, folder);
  const lines = [
    '@echo off',
    'setlocal',
    `for /f "tokens=2 delims=:." %%p in ('chcp') do set LORA_CODE_PAGE=%%p`,
    'chcp 65001 >nul',
    'set ELECTRON_RUN_AS_NODE=1',
    `if not defined LORA_RUNTIME_HOME if exist "${at(home)}" set "LORA_RUNTIME_HOME=${at(home)}"`,
    ...chosen(variables).map(
      ([name, value]) => `if not defined ${name} set "${name}=${escaped(value)}"`,
    ),
    `"${at(node)}" "${at(cli)}" %*`,
    'set LORA_EXIT=%ERRORLEVEL%',
    'chcp %LORA_CODE_PAGE% >nul',
    'exit /b %LORA_EXIT%',
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** `%~dp0` is the folder of the script, with a backslash, in any code page. */
function escapedPath(file: string, folder: string): string {
  const relative = path.win32.relative(folder, file);
  const isBetter = !isAscii(file) && isAscii(relative) && !path.win32.isAbsolute(relative);
  return isBetter ? `%~dp0${escaped(relative)}` : escaped(file);
}

const isAscii = (text: string): boolean => /^\p{ASCII}*$/u.test(text);

/** A path has no quotes on Windows, but can have the mark of variables. */
const escaped = (text: string): string => text.replaceAll('%', '%%');
