#!/usr/bin/env node
/** The command line, which is also how VS Code starts the engine. */
import { LoraError } from '../shared/errors';
import { evaluate, EVALUATE_USAGE } from './commands/evaluate';
import { check, CHECK_USAGE } from './commands/check';
import { combine, COMBINE_USAGE } from './commands/combine';
import { compare, COMPARE_USAGE } from './commands/compare';
import type { Context } from './commands/context';
import { convert, CONVERT_USAGE } from './commands/convert';
import { download, DOWNLOAD_USAGE } from './commands/download';
import { extract, EXTRACT_USAGE } from './commands/extract';
import { generate, GENERATE_USAGE } from './commands/generate';
import { inspect, INSPECT_USAGE } from './commands/inspect';
import { logits, LOGITS_USAGE } from './commands/logits';
import { merge, MERGE_USAGE } from './commands/merge';
import { resize, RESIZE_USAGE } from './commands/resize';
import { runtime, RUNTIME_USAGE } from './commands/runtime';
import { serve, SERVE_USAGE } from './commands/serve';
import { train, TRAIN_USAGE } from './commands/train';
import { unmerge, UNMERGE_USAGE } from './commands/unmerge';

interface Command {
  readonly run: (args: readonly string[], context: Context) => Promise<number>;
  readonly usage: string;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  train: { run: train, usage: TRAIN_USAGE },
  generate: { run: generate, usage: GENERATE_USAGE },
  serve: { run: serve, usage: SERVE_USAGE },
  evaluate: { run: evaluate, usage: EVALUATE_USAGE },
  check: { run: check, usage: CHECK_USAGE },
  logits: { run: logits, usage: LOGITS_USAGE },
  merge: { run: merge, usage: MERGE_USAGE },
  unmerge: { run: unmerge, usage: UNMERGE_USAGE },
  compare: { run: compare, usage: COMPARE_USAGE },
  combine: { run: combine, usage: COMBINE_USAGE },
  resize: { run: resize, usage: RESIZE_USAGE },
  extract: { run: extract, usage: EXTRACT_USAGE },
  download: { run: download, usage: DOWNLOAD_USAGE },
  convert: { run: convert, usage: CONVERT_USAGE },
  inspect: { run: inspect, usage: INSPECT_USAGE },
  runtime: { run: runtime, usage: RUNTIME_USAGE },
};

declare const LORA_VERSION: string;

const USAGE = [
  'Usage:',
  ...Object.values(COMMANDS)
    .flatMap(({ usage }) => usage.split('\n'))
    .map((line) => `  ${line}`),
].join('\n');
const print = (text: string) => process.stdout.write(`${text}\n`);
const warn = (text: string) => process.stderr.write(`${text}\n`);

async function main([name, ...rest]: readonly string[]): Promise<number> {
  if (name === '--version') return (print(LORA_VERSION), 0);
  if (name === undefined || name === '--help' || name === 'help')
    return (print(USAGE), name === undefined ? 2 : 0);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) throw new LoraError('usage', `There is no command "${name}".`, { fix: USAGE });
  if (rest.includes('--help')) return (print(command.usage), 0);
  const context: Context = {
    dist: __dirname,
    version: LORA_VERSION,
    json: rest.includes('--json'),
    signal: stopSignal(),
    print,
    warn,
  };
  return command.run(
    rest.filter((arg) => arg !== '--json'),
    context,
  );
}

/** The first signal asks for an orderly end, the second ends at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  return controller.signal;
}

main(process.argv.slice(2))
  .then(
    (code) => {
      process.exitCode = code;
    },
    (error: unknown) => {
      const lora = LoraError.from(error, 'engine');
      if (process.argv.includes('--json') && error instanceof LoraError)
        print(JSON.stringify({ kind: 'error', error: lora.serialize() }));
      warn(
        error instanceof LoraError
          ? lora.describe()
          : lora.cause instanceof Error
            ? (lora.cause.stack ?? lora.message)
            : lora.message,
      );
      process.exitCode = lora.area === 'usage' ? 2 : 1;
    },
  )
  .finally(() => {
    process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM');
  });
