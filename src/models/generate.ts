import { CHUNK_TOKENS } from './decoder';
import { drafterOf, stepWithDrafts, type Writer } from './drafts/stepWithDrafts';
import type { Decoder, GenerateOptions, Sequence } from './model';
import { tokensAfter } from './promptTooLong';
import type { LogitBlocks } from './sampling/logitBlocks';
import { sampleToken } from './sampling/sampleToken';

/**
 * New token ids after `input_ids`, without the stop id: the prompt in chunks, then token by token
 * over cached keys and values. Drafts make steps fewer where the decoder takes them, and change no
 * token: each is chosen of the same logits, and a draft is kept as far as it has the tokens chosen.
 *
 * @throws PromptTooLong if the prompt has more tokens than the model or the memory has room for.
 */
export async function generateTokens(
  decoder: Decoder,
  input_ids: readonly number[],
  options: GenerateOptions & { readonly yieldPoint: () => Promise<void> },
): Promise<number[]> {
  const sequence = decoder.open();
  const generated: number[] = [];
  const { startIds = [] } = decoder;
  const read = startIds.length > 0 ? startIds : input_ids; // what the decoder itself has read
  try {
    const most = Math.min(options.max_new_tokens, tokensAfter(decoder, input_ids.length));
    const choose = (logits: Float32Array, blocks: LogitBlocks | null) => {
      if (generated.length >= most) return null;
      const text = { prompt: read, written: generated };
      const id = sampleToken(logits, options, text, blocks);
      if (options.stop_ids.includes(id)) return null;
      generated.push(id);
      return options.onToken?.(id) === false || generated.length === most ? null : id;
    };
    const logits = await readPrompt(decoder, sequence, input_ids, options);
    const first = logits && choose(logits, null);
    if (first === null) return generated;
    const drafter = drafterOf(decoder, () => [...read, first]);
    for (let last = first as number | null; last !== null;) {
      await options.yieldPoint();
      const left = most - generated.length;
      const { temperature } = options;
      const writer = { sequence, last, left, drafter, temperature };
      const next: Writer['choose'] = ({ logits, blocks }) => (last = choose(logits, blocks));
      await stepWithDrafts(decoder, [{ ...writer, choose: next }]);
    }
    return generated;
  } finally {
    decoder.close(sequence);
  }
}

/**
 * Reads a prompt in chunks, so that a stop is noticed soon, whatever its length. Logits [vocab]
 * after its last token; null once stopped, and for no token.
 */
async function readPrompt(
  decoder: Decoder,
  sequence: Sequence,
  input_ids: readonly number[],
  { isStopped, images }: Pick<GenerateOptions, 'isStopped' | 'images'>,
): Promise<Float32Array | null> {
  const ids = Int32Array.from(input_ids);
  let logits: Float32Array | null | 'stopped' = null;
  for (let start = 0; start < ids.length && logits !== 'stopped'; start += CHUNK_TOKENS) {
    const chunk = ids.subarray(start, start + CHUNK_TOKENS);
    const isLast = start + CHUNK_TOKENS >= ids.length;
    logits = await decoder.read(sequence, chunk, {
      isLast,
      ...(isStopped && { isStopped }),
      ...(images && { images }),
    });
  }
  return logits === 'stopped' ? null : logits;
}
