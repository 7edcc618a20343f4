import { readFile } from 'node:fs/promises';
import { fileErrorReason } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';

/** Reads the text of a recipe. @throws LoraError('recipe') when it cannot be read */
export const readRecipeText = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: unknown) => {
    throw new LoraError('recipe', `The recipe cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  });
