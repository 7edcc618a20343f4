import { readFileSync } from 'node:fs';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer';
import type { TokenizerFiles } from '../../src/formats/baseModel';

export const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

const FOLDER = 'test/fixtures/tokenizer';

interface Changes {
  readonly tokenizer?: Record<string, unknown>;
  readonly config?: Record<string, unknown>;
  readonly chat_template?: string | null;
}

/**
 * The small byte-level tokenizer of the fixtures (384 tokens, ChatML), with parts of its files
 * replaced.
 */
export function smallTokenizerFiles(changes: Changes = {}): TokenizerFiles {
  const config = readJson(`${FOLDER}/tokenizer_config.json`) as Record<string, unknown>;
  return {
    tokenizer: {
      ...(readJson(`${FOLDER}/tokenizer.json`) as Record<string, unknown>),
      ...changes.tokenizer,
    },
    config: { ...config, ...changes.config },
    chat_template:
      changes.chat_template === undefined
        ? (config['chat_template'] as string)
        : changes.chat_template,
    source: FOLDER,
  };
}

export function smallTokenizer(changes: Changes = {}): Tokenizer {
  return createTokenizer(smallTokenizerFiles(changes), { now: new Date(2024, 6, 9, 5, 3, 1) });
}

/** The text of each contiguous range of labelled tokens. */
export function learntTexts(
  tokenizer: Tokenizer,
  example: { readonly input_ids: Int32Array; readonly labels: Int32Array },
): string[] {
  const texts: string[] = [];
  let ids: number[] = [];
  for (let t = 0; t <= example.labels.length; t++) {
    if (t < example.labels.length && example.labels[t] !== -100) ids.push(example.input_ids[t]!);
    else if (ids.length > 0) {
      texts.push(tokenizer.decode(ids));
      ids = [];
    }
  }
  return texts;
}
