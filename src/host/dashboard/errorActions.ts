import { LoraError, type Place, type SerializedError } from '../../shared/errors';
import { openPlace } from '../editor/openPlace';
import { copyToClipboard } from '../ui/messages';

/** Opens a place if the error names it: a page can't open any other file. */
export async function openErrorPlace(place: Place, error: SerializedError | null): Promise<void> {
  const named = [error?.place, ...(error?.problems ?? []).map((problem) => problem.place)];
  if (named.some((other) => other?.file === place.file && other.line === place.line))
    await openPlace(place);
}

/** Copies an error with its details to the clipboard. */
export async function copyError(error: SerializedError | null): Promise<void> {
  if (!error) return;
  const text = LoraError.deserialize(error).describe();
  await copyToClipboard(error.detail ? `${text}\n\n${error.detail}` : text);
}
