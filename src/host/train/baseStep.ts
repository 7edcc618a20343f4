import type { ErrorReporter } from '../errors/reporter';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import type { BaseCandidate, BaseSource } from './baseFolder';
import { readBaseFacts, type BaseFacts } from '../setup/costs';
import type { AskInspections } from '../inspection/inspections';
import { findBases } from './findBases';
import { basePlaces } from './trainingFiles';
import { firstDownloads } from '../hub/downloadBase';
import { browse } from '../ui/inputs';
import { pick, separator, type Picked, type PickItem, type PickOptions } from '../ui/picker';
import type { Outcome } from '../setup/steps';
import { STEPS, type TrainState } from '../setup/trainState';

type BaseChoice =
  | { readonly path: string }
  | { readonly browse: 'file' | 'folder' | 'hub' }
  /** A model of the Hub. */
  | { readonly download: string };

/** What the question for a base model needs. */
export interface BaseQuestion {
  readonly errors: ErrorReporter;
  readonly inspections: AskInspections;
  /** Path of the base that was chosen the last time. */
  readonly lastUsed: string | undefined;
  /** Downloads a model from the Hub, by its name if one is given. Undefined: cancelled. */
  readonly download: (name?: string) => Promise<string | undefined>;
}

/** Asks for the base model in Train Adapter. `given`: the one that it was invoked on. */
export async function askBase(
  state: TrainState,
  first: boolean,
  question: BaseQuestion,
  given: string | undefined,
): Promise<Outcome<TrainState>> {
  if (given !== undefined) {
    const base = await readBaseFacts(question.inspections, given);
    return { kind: 'next', state: { ...state, base } };
  }
  const lastUsed = state.base?.path ?? question.lastUsed;
  const frame = { title: t('Train Adapter: Base Model'), step: [1, STEPS], first } as const;
  const picked = await pickBase({ ...question, lastUsed }, frame);
  return picked.kind === 'picked'
    ? { kind: 'next', state: { ...state, base: picked.value } }
    : picked;
}

/**
 * Asks for a base model: one that was found, browsed to, or downloaded. A model that cannot be
 * trained is reported, and the question asked again.
 */
export async function pickBase(
  { errors, inspections, lastUsed, download }: BaseQuestion,
  frame: Pick<PickOptions<BaseChoice>, 'title' | 'step' | 'first'>,
): Promise<Picked<BaseFacts>> {
  for (;;) {
    const picked = await pick<BaseChoice>({
      ...frame,
      placeholder: t('Select a base model. Its weights are not changed.'),
      isDefault: (choice) => 'path' in choice && choice.path === lastUsed,
      fill: showBases,
    });
    if (picked.kind !== 'picked') return picked;
    try {
      const path = await pathOf(picked.value, download);
      if (path === undefined) continue;
      return { kind: 'picked', value: await readBaseFacts(inspections, path) };
    } catch (error) {
      errors.report(error, 'base');
    }
  }
}

async function pathOf(
  choice: BaseChoice,
  download: BaseQuestion['download'],
): Promise<string | undefined> {
  if ('path' in choice) return choice.path;
  if ('download' in choice) return download(choice.download);
  return choice.browse === 'hub' ? download() : browseBase(choice.browse);
}

async function showBases(show: (choices: readonly PickItem<BaseChoice>[]) => void): Promise<void> {
  const found: { readonly candidate: BaseCandidate; readonly choice: PickItem<BaseChoice> }[] = [];
  show(BROWSE());
  for await (const candidate of findBases(basePlaces())) {
    found.push({ candidate, choice: choiceOf(candidate) });
    show(grouped(found));
  }
  if (found.length === 0) show([...downloads(), separator(t('Other locations')), ...BROWSE()]);
}

/** Small models to begin with, where there is none on this machine. */
const downloads = (): PickItem<BaseChoice>[] => [
  separator(t('Download a small model')),
  ...firstDownloads().map(({ name, description }) => ({
    icon: 'cloud-download',
    label: name,
    description,
    value: { download: name },
  })),
];

const FORMATS: Readonly<Record<BaseCandidate['format'], string>> = {
  gguf: 'GGUF',
  safetensors: 'safetensors',
  'tensorflow.js': 'TensorFlow.js',
};

function choiceOf({ path, name, format, bytes }: BaseCandidate): PickItem<BaseChoice> {
  return {
    label: name,
    description: `${FORMATS[format]} · ${formatBytes(bytes)}`,
    value: { path },
  };
}

function grouped(
  found: readonly { readonly candidate: BaseCandidate; readonly choice: PickItem<BaseChoice> }[],
): PickItem<BaseChoice>[] {
  const sources = [...new Set(found.map(({ candidate }) => candidate.source))];
  const groups = sources.flatMap((source) => [
    separator(sourceName(source)),
    ...found.filter(({ candidate }) => candidate.source === source).map(({ choice }) => choice),
  ]);
  return [...groups, separator(t('Other locations')), ...BROWSE()];
}

function sourceName(source: BaseSource): string {
  switch (source) {
    case 'workspace':
      return t('In the workspace');
    case 'folder':
      return t('In lora.models.folders');
    case 'hub':
      return t('Hugging Face Hub cache');
    case 'ollama':
      return 'Ollama';
    case 'lmstudio':
      return 'LM Studio';
  }
}

const BROWSE = (): PickItem<BaseChoice>[] => [
  {
    icon: 'file',
    label: t('Browse for a .gguf file or a model.json of TensorFlow.js…'),
    value: { browse: 'file' },
    alwaysShow: true,
  },
  {
    icon: 'folder',
    label: t('Browse for a Hugging Face model folder…'),
    value: { browse: 'folder' },
    alwaysShow: true,
  },
  {
    icon: 'cloud-download',
    label: t('Download from the Hugging Face Hub…'),
    description: t('shows which sizes fit on this machine'),
    value: { browse: 'hub' },
    alwaysShow: true,
  },
];

const browseBase = (what: 'file' | 'folder') =>
  browse(
    what,
    t('Base Model'),
    what === 'file' ? { [t('Models')]: ['gguf', 'json'], [t('All Files')]: ['*'] } : undefined,
  );
