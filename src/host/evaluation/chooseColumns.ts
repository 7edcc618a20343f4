import { adapterLabels, runOfAdapter } from '../adapters/adapterNames';
import { selectedAdapters } from '../adapters/chooseAdapter';
import { browseModel, chooseBaseOf } from '../adapters/chooseModel';
import { partsOf } from '../runs/runParts';
import type { RunStore } from '../runs/runStore';
import { t } from '../text/l10n';
import { askText, pickRows, type PickRow } from '../ui/inputs';

/** What is evaluated: the values of --column, and the base that all but endpoints need. */
export interface ChosenColumns {
  readonly columns: readonly string[];
  /** Null: there are only endpoints. */
  readonly base: string | null;
}

interface ColumnRow extends PickRow {
  /** Null: an endpoint, whose address is asked for. */
  readonly column: string | null;
  readonly adapter: string | null;
}

/** Checkpoints of so many runs are offered: of those that were chosen before, or the newest. */
const RUNS_WITH_CHECKPOINTS = 3;

/**
 * The models to evaluate, the first of which the others are compared with: the base, adapters and
 * checkpoints of runs, and an endpoint. Undefined: cancelled.
 */
export async function chooseColumns(
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
): Promise<ChosenColumns | undefined> {
  await store.refresh();
  const given = selectedAdapters(selection.length > 1 ? selection : [argument]);
  const rows = [baseRow(), ...(await adapterRows(store, given)), endpointRow()];
  const isPicked = ({ column, adapter }: ColumnRow) =>
    column === 'base' || (adapter !== null && given.includes(adapter));
  const options = {
    title: t('Evaluate'),
    placeHolder: t('Select what to evaluate; the others are compared with the first'),
    matchOnDescription: true,
  };
  const chosen = await pickRows(rows, isPicked, options);
  if (!chosen || chosen.length === 0) return undefined;
  const columns = await columnsOf(chosen);
  if (!columns) return undefined;
  if (chosen.every(({ column }) => column === null)) return { columns, base: null };
  const adapter = chosen.find((row) => row.adapter !== null)?.adapter;
  const base =
    typeof adapter === 'string'
      ? await chooseBaseOf(adapter)
      : await browseModel(t('Select the base model to evaluate'), t('Base Model'));
  return base === undefined ? undefined : { columns, base };
}

const baseRow = (): ColumnRow => ({
  label: t('Base model'),
  description: t('without an adapter'),
  icon: 'symbol-misc',
  column: 'base',
  adapter: null,
});

const endpointRow = (): ColumnRow => ({
  label: t('Endpoint…'),
  description: t('an OpenAI-compatible server, such as “lora serve --http”, Ollama or vLLM'),
  icon: 'globe',
  column: null,
  adapter: null,
});

/** The adapters of runs, and the checkpoints of some; first those that were given. */
async function adapterRows(store: RunStore, given: readonly string[]): Promise<ColumnRow[]> {
  const runs = store.runs.filter(({ method }) => method !== 'full');
  const ofGiven = given.flatMap((adapter) => runOfAdapter(store, adapter) ?? []);
  const first = [...new Set(ofGiven)];
  const parts = await Promise.all(
    (first.length > 0 ? first : runs).slice(0, RUNS_WITH_CHECKPOINTS).map((run) => partsOf(run)),
  );
  const checkpoints = parts
    .flat()
    .flatMap(({ kind, adapter }) => (kind === 'checkpoint' && adapter !== null ? [adapter] : []));
  const finals = runs.flatMap(({ adapter }) => adapter ?? []);
  const adapters = [...new Set([...given, ...finals, ...checkpoints])];
  const labels = adapterLabels(store, adapters);
  return adapters.map((adapter, i) => {
    const kind = checkpoints.includes(adapter) ? 'checkpoint' : 'adapter';
    return {
      label: labels[i]!,
      description: kind === 'checkpoint' ? t('checkpoint') : t('adapter'),
      icon: kind === 'checkpoint' ? 'history' : 'package',
      column: `${kind}=${adapter}`,
      adapter,
    };
  });
}

async function columnsOf(rows: readonly ColumnRow[]): Promise<readonly string[] | undefined> {
  const columns: string[] = [];
  for (const { column } of rows) {
    const own = column ?? (await askEndpoint(t('Evaluate: Endpoint')));
    if (own === undefined) return undefined;
    columns.push(column === null ? `endpoint=${own}` : own);
  }
  return columns;
}

/** Asks for URL#MODEL. Undefined: cancelled. */
export async function askEndpoint(title: string): Promise<string | undefined> {
  const isAddress = (text: string) => /^https?:\/\/[^\s#]+$/.test(text);
  const url = await askText({
    title,
    prompt: t('URL of the server, ending with /v1'),
    value: 'http://127.0.0.1:8000/v1',
    validate: (text) =>
      isAddress(text.trim()) ? undefined : t('Enter an address with http or https.'),
  });
  if (url === undefined) return undefined;
  const model = await askText({
    title,
    prompt: t('Name of the model on the server'),
    placeHolder: 'base+git-commands',
    validate: (text) => (text.trim() === '' ? t('Enter a name.') : undefined),
  });
  return model === undefined ? undefined : `${url.trim()}#${model.trim()}`;
}
