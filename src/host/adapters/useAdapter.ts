import { homedir } from 'node:os';
import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import {
  NEEDS_MERGE,
  USE_LABELS,
  USE_TOOLS,
  type PreparedUse,
  type UseTool,
} from '../../shared/useTools';
import { COMMANDS } from '../commands/commandTable';
import { revealPlace } from '../editor/openPlace';
import type { HubServices } from '../hub/hubToken';
import { pushAdapterCommand } from '../hub/pushAdapter';
import type { Jobs } from '../jobs/jobs';
import type { RunStore } from '../runs/runStore';
import { t } from '../text/l10n';
import { askText, pickRow, type PickRow } from '../ui/inputs';
import { choose, copyToClipboard, notify, showDone } from '../ui/messages';
import { runProgram } from '../ui/task';
import { adapterName } from './adapterNames';
import { askOutput } from './askOutput';
import { chooseAdapter } from './chooseAdapter';
import { chooseBaseOf } from './chooseModel';

/** Where an adapter can go. */
type Place = UseTool | 'hub';

/** What is written for each program. */
const DETAILS: Readonly<Record<UseTool, () => string>> = {
  ollama: () => t('A Modelfile beside the adapter or the merged model, for “ollama create”'),
  'lm-studio': () => t('A merged model in its models folder'),
  'llama.cpp': () =>
    t('An adapter as a .gguf file, for llama-server, llama-cli and llama-embedding'),
  vllm: () => t('An adapter in PEFT’s format, for “vllm serve”'),
  mlx: () => t('An adapter in the format of mlx-lm'),
  server: () => t('An OpenAI-compatible server on this machine'),
};

/** What is needed. */
type UseServices = HubServices & { readonly store: RunStore };

/**
 * Prepares an adapter for a program that the user picks, and shows the command that starts it.
 *
 * @throws LoraError as `Jobs.run` does, including when the program cannot use the adapter.
 */
export async function useAdapterCommand(
  { jobs, store, secrets }: UseServices,
  argument: unknown,
): Promise<void> {
  const adapter = await chooseAdapter(store, argument, t('Select an adapter to use'));
  if (adapter === undefined) return;
  const place = await choosePlace();
  switch (place) {
    case undefined:
      return;
    case 'server':
      await vscode.commands.executeCommand(COMMANDS.startServer.id, adapter);
      return;
    case 'hub':
      return pushAdapterCommand({ jobs, secrets }, adapter);
    default:
      return useIn(jobs, place, adapter);
  }
}

/** Undefined: cancelled. */
async function choosePlace(): Promise<Place | undefined> {
  const programs = USE_TOOLS.map((tool) => ({
    label: USE_LABELS[tool],
    detail: DETAILS[tool](),
    place: tool,
  }));
  const hub = {
    label: 'Hugging Face Hub',
    detail: t('A repository, private unless you choose otherwise'),
    place: 'hub' as const,
  };
  const row = await pickRow<PickRow & { readonly place: Place }>([...programs, hub], {
    title: t('Use Adapter In'),
    placeHolder: t('Select a program'),
  });
  return row?.place;
}

async function useIn(jobs: Jobs, tool: UseTool, adapter: string): Promise<void> {
  const base = await chooseBaseOf(adapter);
  const output = base === undefined ? undefined : await askFolder(tool, adapter);
  if (base === undefined || output === undefined) return;
  const prepared = await prepare(jobs, { tool, adapter, base, output }, tool === 'lm-studio');
  if (prepared) await show(prepared);
}

interface Request {
  readonly tool: UseTool;
  readonly adapter: string;
  readonly base: string;
  readonly output: string;
}

/** Undefined: cancelled. */
async function askFolder(tool: UseTool, adapter: string): Promise<string | undefined> {
  const title = t('Use Adapter In {0}: Folder', USE_LABELS[tool]);
  if (tool !== 'lm-studio') {
    const stem = `${path.basename(adapterName(adapter), path.extname(adapter))}-${tool}`;
    return askOutput({ title, stem, ending: '', beside: adapter });
  }
  return askText({
    title,
    value: path.join(homedir(), '.lmstudio', 'models'),
    prompt: t('The folder of models of LM Studio. Existing files are not changed.'),
    validate: (typed) => (path.isAbsolute(typed) ? undefined : t('Enter an absolute path.')),
  });
}

/** Where only a merged model can be used, the user is asked. Undefined: cancelled. */
async function prepare(
  jobs: Jobs,
  request: Request,
  merge: boolean,
): Promise<PreparedUse | undefined> {
  const { tool, adapter, base, output } = request;
  const args = ['use', '--in', tool, '--adapter', adapter, '--base', base, '--output', output];
  const title = t('Preparing {0} for {1}', adapterName(adapter), USE_LABELS[tool]);
  try {
    return await jobs.run<PreparedUse>(title, merge ? [...args, '--merge'] : args, false);
  } catch (error) {
    if (!(error instanceof LoraError) || error.place?.key !== NEEDS_MERGE) throw error;
    const chosen = await choose(
      t('Merge the adapter into its base model?'),
      `${error.message}\n${t('A merged model is as large as the base model.')}`,
      { merge: t('Merge') },
    );
    return chosen && prepare(jobs, request, true);
  }
}

async function show({ in: tool, files, lines, notes, ...own }: PreparedUse): Promise<void> {
  const [copy, run, reveal] = [t('Copy Command'), t('Run in Terminal'), t('Reveal in Explorer')];
  const label = USE_LABELS[tool];
  const [first] = files;
  const message = lines
    ? t('Ready for {0}: {1}', label, lines.join('; '))
    : t('Ready for {0}.', label);
  const chosen = await notify('information', [message, ...notes].join(' '), [
    ...(lines ? [copy] : []),
    ...(own.program === null ? [] : [run]),
    ...(first === undefined ? [] : [reveal]),
  ]);
  if (chosen === reveal) await revealPlace(first!);
  if (chosen === run) await runAll(label, own);
  if (chosen !== copy) return;
  await copyToClipboard(lines!.join('\n'));
  showDone(t('Copied: {0}', lines![0]!));
}

/** Each command after the one before it has succeeded. All are of one program. */
async function runAll(
  label: string,
  { commands, program }: Pick<PreparedUse, 'commands' | 'program'>,
): Promise<void> {
  for (const [, ...args] of commands) if ((await runProgram(label, program!, args)) !== 0) return;
}
