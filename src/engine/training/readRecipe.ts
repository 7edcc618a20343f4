import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';

/** Reads the text of a recipe. @throws LoraError('recipe') when it cannot be read */
export const readRecipeText = (file: string): Promise<string> =>
  readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }).catch((error: unknown) => {
    throw new LoraError('recipe', `The recipe cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  });
