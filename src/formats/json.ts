import { LoraError, type ErrorArea } from '../shared/errors';
import { isDeeperThan, MOST_DEPTH } from '../shared/depth';
import { isObject } from '../shared/values';
import { fileErrorReason } from '../common/fileStatus';
import { MAX_BYTES, readTextFile, type ReadLimits } from '../common/regularFile';

/**
 * Reads a JSON file that holds an object.
 *
 * @throws LoraError(area) when it cannot be read, is not valid JSON or not an object.
 */
export async function readJsonObject(
  file: string,
  area: ErrorArea,
  limits: ReadLimits = { maxBytes: MAX_BYTES.modelJson },
): Promise<Record<string, unknown>> {
  const fail = (what: string, cause?: unknown) =>
    new LoraError(area, `The file ${what}.`, {
      place: { file },
      fix: 'Correct it, or copy or download it again.',
      cause,
    });
  let text: string;
  try {
    text = await readTextFile(file, limits);
  } catch (error) {
    throw fail(`cannot be read: ${fileErrorReason(error)}`, error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail(
      `is not valid JSON: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
  if (!isObject(value)) throw fail('must hold a JSON object');
  if (isDeeperThan(value)) throw fail(`has values nested more than ${MOST_DEPTH} deep`);
  return value;
}
