import path from 'node:path';
import { replaceFile } from '../../../common/atomicWrite';
import { LoraError } from '../../../shared/errors';
import type { EvaluationResult } from '../run';
import { csvReport } from './csv';
import { htmlReport } from './html';
import { markdownReport } from './markdown';

/** A report for each ending of a file. */
const REPORTS: Readonly<Record<string, (result: EvaluationResult) => string>> = {
  '.html': htmlReport,
  '.md': markdownReport,
  '.csv': csvReport,
};

/** @throws LoraError('usage') for a file whose ending says nothing */
export function checkReports(files: readonly string[]): void {
  for (const file of files)
    if (!Object.hasOwn(REPORTS, path.extname(file)))
      throw new LoraError('usage', 'A report is a file that ends in .html, .md or .csv.', {
        place: { file },
      });
}

/** Writes reports. @throws LoraError('disk') */
export async function writeReports(
  files: readonly string[],
  result: EvaluationResult,
): Promise<void> {
  for (const file of files) await replaceFile(file, REPORTS[path.extname(file)]!(result));
}
