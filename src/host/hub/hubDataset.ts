import * as v from 'valibot';
import { parsed } from '../../shared/parsed';
import type { Jobs } from '../jobs/jobs';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import { askText, pickRow } from '../ui/inputs';
import { withHubToken, type HubServices } from './hubToken';

const HubSplitSchema = v.object({
  /** hf://owner/name */
  path: v.string(),
  config: v.nullable(v.string()),
  split: v.nullable(v.string()),
});
const HubDatasetSchema = v.object({
  ...HubSplitSchema.entries,
  files: v.pipe(v.array(v.string()), v.minLength(1), v.readonly()),
});

/** A split of a dataset of the hub. Without a configuration or a split, the usual one. */
export type HubSplit = Readonly<v.InferOutput<typeof HubSplitSchema>>;

/** A split of a dataset of the hub, and its files on this disk. */
export type HubDataset = Readonly<v.InferOutput<typeof HubDatasetSchema>>;

/** These return undefined for values that do not fit. */
export const asHubSplit = parsed(HubSplitSchema);
export const asHubDataset = parsed(HubDatasetSchema);

interface ListedSplit {
  readonly config: string;
  readonly split: string;
  readonly bytes: number;
}

/** How long the hub may take to list the files of a dataset. */
const LIST_MS = 60_000;

/**
 * Asks for a dataset of the hub and downloads it, with progress. Undefined: cancelled.
 *
 * @throws LoraError as `Jobs.run` does
 */
export async function chooseHubDataset(services: HubServices): Promise<HubDataset | undefined> {
  const typed = await askText({
    title: t('Dataset of the Hugging Face Hub'),
    prompt: t("Its owner and name, as on the dataset's page"),
    placeHolder: 'hf://owner/name',
    validate: (text) => (hubName(text) === null ? t('Enter owner/name.') : undefined),
  });
  const name = typed === undefined ? null : hubName(typed);
  if (name === null) return undefined;
  return withHubToken(services.secrets, async (env) => {
    const split = await chooseSplit(services.jobs, name, env);
    return split && downloadHubDataset(services.jobs, { ...split, rows: null }, env);
  });
}

const TYPED_NAME =
  /^(?:hf:\/\/|https?:\/\/[^/]+\/)?(?:datasets\/)?(\w[\w.-]*\/\w[\w.-]*(?:@[\w./-]+)?)\/?$/;

/** hf://owner/name@revision for what a user types, such as its address; null: no name. */
export function hubName(text: string): string | null {
  const [, name] = TYPED_NAME.exec(text.trim()) ?? [];
  return name === undefined || name.includes('..') ? null : `hf://${name}`;
}

/** The split that is read; the only one without asking. */
async function chooseSplit(
  jobs: Jobs,
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<HubSplit | undefined> {
  const { splits } = await jobs.ask<{ readonly splits: readonly ListedSplit[] }>(
    ['download', '--dataset', name, '--list'],
    AbortSignal.timeout(LIST_MS),
    env,
  );
  const rows = splits.map(({ config, split, bytes }) => ({
    label: `${config} / ${split}`,
    description: formatBytes(bytes),
    picked: { path: name, config, split },
  }));
  if (rows.length === 1) return rows[0]!.picked;
  return (await pickRow(rows, { title: name, placeHolder: t('Select what is read') }))?.picked;
}

/** A split, or as many of its files as its first rows need. */
type WantedSplit = HubSplit & { readonly rows: number | null };

/**
 * Downloads what a recipe names. Undefined: cancelled.
 *
 * @throws LoraError as `Jobs.run` does
 */
export const fetchHubDataset = (
  { jobs, secrets }: HubServices,
  split: WantedSplit,
): Promise<HubDataset | undefined> =>
  withHubToken(secrets, (env) => downloadHubDataset(jobs, split, env));

/** Downloads a split, unless it is here. Undefined: cancelled. */
async function downloadHubDataset(
  jobs: Jobs,
  { path, config, split, rows }: WantedSplit,
  env: Readonly<Record<string, string>>,
): Promise<HubDataset | undefined> {
  const args = [
    ...['download', '--dataset', path],
    ...(config === null ? [] : ['--config', config]),
    ...(split === null ? [] : ['--split', split]),
    ...(rows === null ? [] : ['--rows', String(rows)]),
  ];
  const title = t('Downloading {0}', path);
  const done = await jobs.run<{ readonly files: readonly string[] }>(title, args, false, env);
  return done && { path, config, split, files: done.files };
}
