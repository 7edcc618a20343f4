import { isHubSource, type ColumnNames } from '../../shared/datasetSources';
import type { RecipeInput } from '../../shared/recipe';
import { relativeTo } from './relativeTo';

/** The part of a dataset on the Hub that is read. */
export interface HubPart {
  readonly config: string | null;
  readonly split: string | null;
}

/** A dataset as a recipe names it. */
export interface NamedDataset {
  readonly path: string;
  readonly hub?: HubPart | undefined;
}

/** General examples beside those of a dataset, so that less is forgotten. */
export interface ReplaySource extends NamedDataset {
  /** How much of it is drawn. */
  readonly amount: ReplayAmount;
  readonly columns: ColumnNames;
}

export type ReplayAmount = { readonly weight: number } | { readonly rows: number };

/** What is drawn of other examples, as a part of the own ones. */
const REPLAYED = 0.25;
/** Where the rows of neither source are counted. */
const USUAL_ROWS = 1000;

/** How much of other examples is drawn beside the own ones. Null: rows that are not counted. */
export function replayAmount(own: number | null, other: number | null): ReplayAmount {
  if (own === null) return { rows: USUAL_ROWS };
  const wanted = Math.max(1, Math.round(REPLAYED * own));
  if (other === null) return { rows: wanted };
  return { weight: Number(Math.min(1, wanted / Math.max(1, other)).toPrecision(2)) };
}

/** What a recipe reads: a dataset, and maybe a source of other examples. */
export interface RecipeSources {
  readonly dataset: NamedDataset;
  readonly columns: ColumnNames;
  readonly replay: ReplaySource | null;
}

/**
 * The keys of a recipe that name its rows. Paths are relative to `folder` where they are inside it.
 * A source without columns of its own has the recipe's, so that other examples get theirs, or none.
 */
export function sourceKeys(
  { dataset, columns, replay }: RecipeSources,
  folder: string,
): Pick<RecipeInput, 'dataset' | 'columns'> {
  const isMapped = Object.keys(columns).length > 0;
  const named = { ...(isMapped && { columns }) };
  if (!replay) {
    const own = dataset.hub ? sourceOf(dataset, folder) : pathIn(folder, dataset.path);
    return { dataset: own, ...named };
  }
  const hasColumns = isMapped || Object.keys(replay.columns).length > 0;
  const other = {
    ...sourceOf(replay, folder),
    ...replay.amount,
    ...(hasColumns && { columns: replay.columns }),
  };
  return { dataset: [sourceOf(dataset, folder), other], ...named };
}

const sourceOf = ({ path, hub }: NamedDataset, folder: string) => ({
  path: pathIn(folder, path),
  ...(typeof hub?.config === 'string' && { config: hub.config }),
  ...(typeof hub?.split === 'string' && { split: hub.split }),
});

const pathIn = (folder: string, path: string): string =>
  isHubSource(path) ? path : relativeTo(folder, path);
