import {
  isWithoutTokens,
  rowsAt,
  tokenConflict,
  tokenRowsOf,
  type TokenLayers,
} from '../../lora/tokenRows';
import { areEqual, isOutputPath } from '../../lora/tying';
import type { Adapter, AdapterConfig, TrainedTensor } from '../../lora/adapter';
import type { Spec } from '../architecture/spec';
import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import { finite, TOGETHER } from './factors';
import { CONFIG_FILE } from './fileNames';
import type { AdapterWeights } from './files';

const KEY = 'trainable_token_indices';

/** The layers of a base whose rows are its tokens; null: it reads none. */
export function tokenLayersOf({ embedding, head }: Spec): TokenLayers | null {
  if (embedding.kind !== 'tokens') return null;
  const { path, rows } = embedding.tokens;
  return {
    embedding: path,
    output: head.kind === 'lm' ? head.output.path : null,
    tied: head.kind === 'lm' && head.tied,
    vocab_size: rows,
  };
}

/**
 * Reads the rows of tokens in an adapter's file.
 *
 * @param found The tensors with rows, by the paths of their modules.
 * @param file That of the config.
 * @throws LoraError('adapter') where they do not fit the config
 */
export async function readTokenRows(
  found: ReadonlyMap<string, string>,
  { trainable_token_indices: indices }: Pick<AdapterConfig, typeof KEY>,
  source: AdapterWeights,
  file: string,
): Promise<readonly TrainedTensor[]> {
  const read: TrainedTensor[] = [];
  for (const [path, tensor] of found) {
    const place = { file: source.fileOf(tensor), tensor };
    const misfit = (message: string) => new LoraError('adapter', message, { place, fix: TOGETHER });
    const rows = indices && rowsAt(indices, path);
    if (!rows)
      throw misfit(
        `The tensor has rows of tokens, but ${CONFIG_FILE} names none of ${path} (${KEY}).`,
      );
    const { shape } = source.tensors.get(tensor)!;
    if (shape.length !== 2 || shape[0] !== rows.length)
      throw misfit(
        `The tensor must have ${countOf(rows.length, 'row')}, one for each token of ${KEY}, but its shape is [${shape.join(', ')}].`,
      );
    read.push({ name: `${path}.weight`, shape, data: await finite(source, tensor), rows });
  }
  if (found.size > 0 || isWithoutTokens(indices)) return withoutTied(read);
  throw new LoraError(
    'adapter',
    `${CONFIG_FILE} names tokens (${KEY}), but the file has no rows of them.`,
    {
      place: { file, key: KEY },
      fix: TOGETHER,
    },
  );
}

/**
 * The rows without those of a tied output layer, which PEFT saves a second time where tokens were
 * added to the base.
 */
const withoutTied = (read: readonly TrainedTensor[]): readonly TrainedTensor[] =>
  read.filter(
    (own) =>
      !isOutputPath(own.name.slice(0, -'.weight'.length)) ||
      !read.some(
        (other) =>
          other !== own &&
          other.rows?.join() === own.rows?.join() &&
          areEqual(other.data, own.data),
      ),
  );

/** Why the rows of tokens in an adapter do not fit its base; null: they do, or there are none. */
export function tokenMisfit(
  { config, modules, trained }: Adapter,
  layers: TokenLayers | null,
): string | null {
  const indices = config.trainable_token_indices;
  if (!indices || isWithoutTokens(indices)) return null;
  if (!layers) return `The adapter trains rows of tokens (${KEY}), but the base reads none.`;
  const expected = tokenRowsOf(indices, layers);
  if ('fault' in expected) return expected.fault;
  const own = trained.filter(({ rows }) => rows);
  const missing = expected.layers.find(({ path }) => !own.some((t) => t.name === `${path}.weight`));
  if (missing) return `${KEY} names tokens of ${missing.path}, but the file has no rows of them.`;
  const other = own.find((t) => !expected.layers.some(({ path }) => t.name === `${path}.weight`));
  if (other) return `The file has rows of ${other.name}, which ${KEY} does not name for this base.`;
  const pathOf = (name: string) => name.slice(0, name.lastIndexOf('.'));
  const beside = {
    adapted: modules.map((m) => m.path),
    saved: trained.filter(({ rows }) => !rows).map(({ name }) => pathOf(name)),
  };
  return tokenConflict(expected.layers, beside, layers);
}
