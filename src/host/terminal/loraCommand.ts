/** What the command starts, and with which runtime. */
export interface CommandPlace {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  /** Folder in which the extension installs runtimes; it may not be there. */
  readonly home: string;
  /** The setting lora.runtime.path; null: empty. */
  readonly runtime: string | null;
}

/** The script of the command for shells of Unix. Variables of the user win. */
export function shellScript({ node, cli, home, runtime }: CommandPlace): string {
  const lines = [
    '#!/bin/sh',
    'ELECTRON_RUN_AS_NODE=1',
    'export ELECTRON_RUN_AS_NODE',
    `if [ -z "$LORA_RUNTIME_HOME" ] && [ -d ${quoted(home)} ]; then`,
    `  LORA_RUNTIME_HOME=${quoted(home)}`,
    '  export LORA_RUNTIME_HOME',
    'fi',
    ...(runtime === null
      ? []
      : [
          'if [ -z "$LORA_RUNTIME_PATH" ]; then',
          `  LORA_RUNTIME_PATH=${quoted(runtime)}`,
          '  export LORA_RUNTIME_PATH',
          'fi',
        ]),
    `exec ${quoted(node)} ${quoted(cli)} "$@"`,
  ];
  return `${lines.join('\n')}\n`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The same for cmd and PowerShell. */
export function batchScript({ node, cli, home, runtime }: CommandPlace): string {
  const lines = [
    '@echo off',
    'setlocal',
    'set ELECTRON_RUN_AS_NODE=1',
    `if not defined LORA_RUNTIME_HOME if exist "${escaped(home)}" set "LORA_RUNTIME_HOME=${escaped(home)}"`,
    ...(runtime === null
      ? []
      : [`if not defined LORA_RUNTIME_PATH set "LORA_RUNTIME_PATH=${escaped(runtime)}"`]),
    `"${escaped(node)}" "${escaped(cli)}" %*`,
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** A path has no quotes on Windows, but can have the mark of variables. */
const escaped = (text: string): string => text.replaceAll('%', '%%');
