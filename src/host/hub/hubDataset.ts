import type { Jobs } from '../jobs/jobs';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import { askText, pickRow } from '../ui/inputs';
import { hubName, type HubDataset, type HubSplit } from './hubSplit';
import { withHubToken, type HubServices } from './hubToken';

interface ListedSplit {
  readonly config: string;
  readonly split: string;
  readonly bytes: number;
}

/** How long the Hub may take to list the files of a dataset. */
const LIST_MS = 60_000;

/**
 * Asks for a dataset on the Hub and downloads it, with progress. Undefined: cancelled.
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
