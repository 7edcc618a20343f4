import { isHubSource, sourcesOf, type DatasetSetting } from '../../shared/datasetSources';
import type { AskInspections } from '../inspection/inspections';

/** The rows of all sources of a recipe; null where those of one cannot be counted quickly. */
export async function rowsOf(
  inspections: AskInspections,
  dataset: DatasetSetting,
): Promise<number | null> {
  let total = 0;
  for (const { path: file, rows: most } of sourcesOf(dataset)) {
    const rows = isHubSource(file)
      ? null
      : (await inspections.ask('dataset', { file, siblings: [] })).rows;
    if (rows === null && most === null) return null;
    total += Math.min(rows ?? Infinity, most ?? Infinity);
  }
  return total;
}
