import type { TokenIndices } from './adapter';

/** The embedding and the output layer of a base, whose rows are the tokens. */
export interface TokenLayers {
  /** The path of the input embedding. */
  readonly embedding: string;
  /** The path of the output layer; null: the base has none over the tokens. */
  readonly output: string | null;
  /** Whether both have one weight. */
  readonly tied: boolean;
  /** Number of rows. */
  readonly vocab_size: number;
}

/** Tokens whose rows of a layer are trained. */
export interface TokenRows {
  readonly path: string;
  readonly rows: readonly number[];
}

/** The rows that are trained, or why they cannot be: a sentence. */
export type TokenRowsResult =
  { readonly layers: readonly TokenRows[] } | { readonly fault: string };

const KEY = 'trainable_token_indices';

/**
 * The rows that PEFT trains for a trainable_token_indices: a list is of the input embedding, the
 * names of an object are the ends of modules' paths. An output layer that shares the embedding's
 * weight has the embedding's rows, and no tensor of its own.
 */
export function tokenRowsOf(indices: TokenIndices, layers: TokenLayers): TokenRowsResult {
  const found = isList(indices)
    ? [{ path: layers.embedding, rows: indices }]
    : namedRows(indices, layers);
  if (!Array.isArray(found)) return found;
  const fault = faultOf(found, layers);
  if (fault !== null) return { fault };
  return { layers: layers.tied ? found.filter(({ path }) => path !== layers.output) : found };
}

const isList = (indices: TokenIndices): indices is readonly number[] => Array.isArray(indices);

/** The tokens of a module, by its path; null: the config names none of it. */
export function rowsAt(indices: TokenIndices, path: string): readonly number[] | null {
  if (isList(indices)) return indices;
  const name = Object.keys(indices).find((own) => path.endsWith(own));
  return name === undefined ? null : indices[name]!;
}

/** Whether there is no token in it. */
export const isWithoutTokens = (indices: TokenIndices | null | undefined): boolean =>
  Object.values(indices ?? {}).flat().length === 0;

function namedRows(
  indices: Readonly<Record<string, readonly number[]>>,
  { embedding, output }: TokenLayers,
): TokenRows[] | { readonly fault: string } {
  const found: TokenRows[] = [];
  for (const [name, rows] of Object.entries(indices)) {
    const path = [embedding, output].find((own) => own?.endsWith(name) === true);
    if (name === '' || path === undefined || path === null)
      return {
        fault: `"${name}" in ${KEY} is neither the embedding nor the output layer of this base (${[embedding, output].filter(Boolean).join(', ')}).`,
      };
    found.push({ path, rows });
  }
  return found;
}

function faultOf(
  found: readonly TokenRows[],
  { embedding, output, tied, vocab_size }: TokenLayers,
): string | null {
  for (const { path, rows } of found) {
    const outside = rows.find((row) => row >= vocab_size);
    if (outside !== undefined)
      return `${KEY} names token ${outside}, but ${path} has ${vocab_size} rows (0 to ${vocab_size - 1}).`;
    if (found.filter((own) => own.path === path).length > 1) return `${KEY} names ${path} twice.`;
  }
  const ofOutput = found.find(({ path }) => path === output);
  if (!tied || !ofOutput) return null;
  const ofEmbedding = found.find(({ path }) => path === embedding);
  return ofEmbedding?.rows.join() === ofOutput.rows.join()
    ? null
    : `${output} has the weight of ${embedding} in this base, so ${KEY} cannot name other tokens for it.`;
}

/** What keeps rows of a module from being trained beside the rest of an adapter; null: nothing. */
export function tokenConflict(
  rows: readonly TokenRows[],
  { adapted, saved }: { readonly adapted: readonly string[]; readonly saved: readonly string[] },
  { embedding, output, tied }: Pick<TokenLayers, 'embedding' | 'output' | 'tied'>,
): string | null {
  for (const { path } of rows) {
    const alike = tied && output !== null ? [embedding, output] : [path];
    const both = alike.find((own) => adapted.includes(own));
    if (both !== undefined) return `${KEY} cannot be combined with LoRA on ${both}, as in PEFT.`;
    const whole = alike.find((own) => saved.includes(own));
    if (whole !== undefined)
      return `${KEY} cannot be combined with ${whole} in modules_to_save, as in PEFT.`;
  }
  return null;
}
