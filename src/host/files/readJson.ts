import * as v from 'valibot';
import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES, readTextFile, type ReadLimits } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';

/** These files are in a run's folder or in .lora, which may be untrusted. */
const LIMITS: ReadLimits = { maxBytes: MAX_BYTES.writtenByPeople, links: 'refused' };

/**
 * Reads a JSON file that people can edit; `otherwise` is the result when it doesn't exist.
 *
 * @throws LoraError('disk') when it cannot be read or doesn't match the schema: the caller must not
 *   overwrite it then.
 */
export async function readJson<S extends v.GenericSchema, O>(
  file: string,
  schema: S,
  otherwise: O,
): Promise<v.InferOutput<S> | O> {
  try {
    return v.parse(schema, JSON.parse(await readTextFile(file, LIMITS)));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw new LoraError(
      'disk',
      t(
        'The file cannot be read: {0}.',
        cause instanceof SyntaxError ? cause.message : fileErrorReason(cause),
      ),
      { place: { file }, cause, fix: t('Fix the file, or delete it.') },
    );
  }
}
