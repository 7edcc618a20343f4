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

/** The same for cmd and PowerShell. */
export function batchScript({ node, cli, home, variables }: CommandPlace): string {
  const lines = [
    '@echo off',
    'setlocal',
    'set ELECTRON_RUN_AS_NODE=1',
    `if not defined LORA_RUNTIME_HOME if exist "${escaped(home)}" set "LORA_RUNTIME_HOME=${escaped(home)}"`,
    ...chosen(variables).map(
      ([name, value]) => `if not defined ${name} set "${name}=${escaped(value)}"`,
    ),
    `"${escaped(node)}" "${escaped(cli)}" %*`,
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** A path has no quotes on Windows, but can have the mark of variables. */
const escaped = (text: string): string => text.replaceAll('%', '%%');
