#!/usr/bin/env node
/** The command line, which is also how VS Code starts the engine. */
import { expectedError } from '../common/expectedError';
import { LoraError, type ErrorArea } from '../shared/errors';
import { nearestName } from '../shared/nearest';
import { attachCommand } from './commands/attach';
import { checkCommand } from './commands/check';
import { combineCommand } from './commands/combine';
import type { Command } from './commands/command';
import { compareCommand } from './commands/compare';
import type { CommandContext } from './commands/context';
import { convertCommand } from './commands/convert';
import { downloadCommand } from './commands/download';
import { evaluateCommand } from './commands/evaluate';
import { extractCommand } from './commands/extract';
import { fetchCommand } from './commands/fetch';
import { generateCommand } from './commands/generate';
import { importCommand } from './commands/import';
import { inspectCommand } from './commands/inspect';
import { logitsCommand } from './commands/logits';
import { mcpCommand } from './commands/mcp';
import { mergeCommand } from './commands/merge';
import { prepareCommand } from './commands/prepare';
import { pushCommand } from './commands/push';
import { rerankCommand } from './commands/rerank';
import { resizeCommand } from './commands/resize';
import { runtimeCommand } from './commands/runtime';
import { serveCommand } from './commands/serve';
import { stopCommand } from './commands/stop';
import { sweepCommand } from './commands/sweep';
import { targetsCommand } from './commands/targets';
import { trainCommand } from './commands/train';
import { tuneCommand } from './commands/tune';
import { unmergeCommand } from './commands/unmerge';
import { useCommand } from './commands/use';
import { endWithLeftThread } from './nativeCall';
import { EXIT_STOPPED, listenToStopSignals, REQUESTS_TO_END, type StopSignal } from './stopSignal';
import { ignoreClosedOutput, noteText, printRaw, printText, warnText } from './terminal';

declare const LORA_VERSION: string;

const COMMANDS: ReadonlyMap<string, Command> = new Map(
  [
    trainCommand,
    sweepCommand,
    tuneCommand,
    prepareCommand,
    generateCommand,
    serveCommand,
    mcpCommand,
    evaluateCommand,
    rerankCommand,
    checkCommand,
    logitsCommand,
    mergeCommand,
    unmergeCommand,
    compareCommand,
    combineCommand,
    resizeCommand,
    extractCommand,
    downloadCommand,
    convertCommand,
    useCommand,
    pushCommand,
    inspectCommand,
    importCommand,
    runtimeCommand,
    targetsCommand,
    attachCommand,
    fetchCommand,
    stopCommand,
  ].map((command) => [command.name, command]),
);

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_CODES: Readonly<Partial<Record<ErrorArea, number>>> = {
  usage: EXIT_USAGE,
  cancelled: EXIT_STOPPED,
};
/** A training run saves what it has first. */
const REQUESTS_TO_END_TRAINING = 3;
const TRAININGS: readonly Command[] = [trainCommand, sweepCommand, tuneCommand];

const NAME_WIDTH = Math.max(...[...COMMANDS.keys()].map((name) => name.length));

const HELP = [
  'Usage: lora COMMAND [OPTIONS]',
  '',
  ...[...COMMANDS.values()].map(
    ({ name, summary }) => `  lora ${name.padEnd(NAME_WIDTH)}  ${summary}`,
  ),
  '',
  'lora COMMAND --help explains the options of a command; lora --version prints the version.',
].join('\n');

/** As errors, warnings are an object for programs and a text for people. */
function warnInJson(message: string): void {
  printRaw(JSON.stringify({ kind: 'warning', message }));
  noteText(message);
}

/** Signals end the process at once, whatever it is doing. */
const ENDED_BY_SIGNALS: StopSignal = {
  signal: new AbortController().signal,
  release: () => undefined,
};

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined) {
    printText(HELP);
    return EXIT_USAGE;
  }
  if (name === '--help' || name === 'help') {
    printText(HELP);
    return 0;
  }
  if (name === '--version') {
    printText(LORA_VERSION);
    return 0;
  }
  const command = findCommand(name);
  if (args.includes('--help')) {
    printText(command.help);
    return 0;
  }
  const json = args.includes('--json');
  const stop = command.endedBySignals
    ? ENDED_BY_SIGNALS
    : listenToStopSignals(
        TRAININGS.includes(command) ? REQUESTS_TO_END_TRAINING : REQUESTS_TO_END,
        noteText,
      );
  const context: CommandContext = {
    dist: __dirname,
    version: LORA_VERSION,
    json,
    signal: stop.signal,
    print: json ? printRaw : printText,
    note: noteText,
    warn: json ? warnInJson : warnText,
  };
  return command
    .run(
      args.filter((arg) => arg !== '--json'),
      context,
    )
    .finally(stop.release);
}

function findCommand(name: string): Command {
  const command = COMMANDS.get(name);
  if (command) {
    return command;
  }
  const nearest = nearestName(name, COMMANDS.keys());
  const hint = nearest === undefined ? '' : ` Did you mean lora ${nearest}?`;
  throw new LoraError('usage', `There is no command "${name}".${hint}`, { fix: HELP });
}

function reportError(error: unknown): void {
  const expected = expectedError(error);
  const loraError = expected ?? LoraError.from(error, 'engine');
  if (process.argv.includes('--json')) {
    printRaw(JSON.stringify({ kind: 'error', error: loraError.serialize() }));
  }
  noteText(expected ? expected.describe() : stackOf(error));
  process.exitCode = EXIT_CODES[loraError.area] ?? EXIT_FAILED;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

ignoreClosedOutput();

main(process.argv.slice(2))
  .then((code) => {
    process.exitCode = code;
  }, reportError)
  .finally(endWithLeftThread);
