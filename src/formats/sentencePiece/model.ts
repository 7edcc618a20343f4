import { LoraError } from '../../shared/errors';
import { forEachField, type ReadField } from '../protobuf';

/** ModelProto.SentencePiece.Type of sentencepiece_model.proto. */
export const PIECE_TYPE = {
  normal: 1,
  unknown: 2,
  control: 3,
  user_defined: 4,
  unused: 5,
  byte: 6,
} as const;

export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

/** The ids that a file has for these pieces; -1: it has none. */
export interface SpecialIds {
  readonly unk: number;
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
}

/** What a SentencePiece file says of its tokenizer. */
export interface SentencePieceModel {
  readonly kind: 'unigram' | 'bpe';
  /** By id. */
  readonly pieces: readonly Piece[];
  readonly ids: SpecialIds;
  readonly byte_fallback: boolean;
  /** The double array of the rules and their results (NormalizerSpec.precompiled_charsmap). */
  readonly charsmap: Buffer;
  readonly add_dummy_prefix: boolean;
  readonly remove_extra_whitespaces: boolean;
  readonly escape_whitespaces: boolean;
}

/** The largest published ones have 262,144 pieces. */
const MOST_PIECES = 1 << 20;
/** In bytes; the longest published ones are 31 spaces, of three bytes each. */
const LONGEST_PIECE = 1 << 8;
const MOST_SPECS = 2;

/** The parts of a file, as far as they are read. */
interface Parts {
  readonly pieces: Piece[];
  readonly trainer: Settings;
  readonly normalizer: Settings;
}

/** The fields of a spec by their numbers; the last one counts, as Protocol Buffers say. */
type Settings = Map<number, ReadField>;

// The numbers of the fields that are used, of sentencepiece_model.proto.
const MODEL = { pieces: 1, trainer: 2, normalizer: 3, denormalizer: 5 } as const;
const PIECE = { text: 1, score: 2, type: 3 } as const;
const TRAINER = {
  model_type: 3,
  treat_whitespace_as_suffix: 24,
  byte_fallback: 35,
  unk_id: 40,
  bos_id: 41,
  eos_id: 42,
  pad_id: 43,
} as const;
const NORMALIZER = {
  charsmap: 2,
  add_dummy_prefix: 3,
  remove_extra_whitespaces: 4,
  escape_whitespaces: 5,
} as const;
const KINDS: ReadonlyMap<number, SentencePieceModel['kind']> = new Map([
  [1, 'unigram'],
  [2, 'bpe'],
]);
const OTHER_KINDS: ReadonlyMap<number, string> = new Map([
  [3, 'word'],
  [4, 'char'],
]);

/**
 * Reads a SentencePiece file (tokenizer.model, spiece.model), a message of Protocol Buffers.
 *
 * @param file Named in errors.
 * @throws LoraError('tokenizer') when it is not one, is damaged, or of a kind that is not supported
 */
export function readSentencePiece(bytes: Buffer, file: string): SentencePieceModel {
  const fail = failure(file);
  const parts = partsOf(bytes, fail);
  if (parts.pieces.length === 0) throw fail('it has no pieces');
  const model_type = wholeOf(parts.trainer, TRAINER.model_type, 1);
  const kind = KINDS.get(model_type);
  if (!kind)
    throw unsupported(
      file,
      `of the kind ${OTHER_KINDS.get(model_type) ?? model_type}, and only unigram and bpe are read`,
    );
  if (flagOf(parts.trainer, TRAINER.treat_whitespace_as_suffix, false))
    throw unsupported(file, 'one with the space at the end of words');
  return {
    kind,
    pieces: parts.pieces,
    ids: idsOf(parts, fail),
    byte_fallback: flagOf(parts.trainer, TRAINER.byte_fallback, false),
    charsmap: parts.normalizer.get(NORMALIZER.charsmap)?.bytes ?? Buffer.alloc(0),
    add_dummy_prefix: flagOf(parts.normalizer, NORMALIZER.add_dummy_prefix, true),
    remove_extra_whitespaces: flagOf(parts.normalizer, NORMALIZER.remove_extra_whitespaces, true),
    escape_whitespaces: flagOf(parts.normalizer, NORMALIZER.escape_whitespaces, true),
  };
}

type Fail = (what: string) => LoraError;

const failure =
  (file: string): Fail =>
  (what) =>
    new LoraError('tokenizer', `The file is not a usable SentencePiece model: ${what}.`, {
      place: { file },
      fix: 'Download the file again, or put the tokenizer.json of the model beside it.',
    });

const unsupported = (file: string, what: string): LoraError =>
  new LoraError('tokenizer', `The SentencePiece model is ${what}.`, {
    place: { file },
    fix: 'Put the tokenizer.json of the model beside it.',
  });

function partsOf(bytes: Buffer, fail: Fail): Parts {
  const parts: Parts = { pieces: [], trainer: new Map(), normalizer: new Map() };
  const specs = { trainer: 0, normalizer: 0 };
  const readSpec = (name: 'trainer' | 'normalizer', spec: Buffer): void => {
    if (++specs[name] > MOST_SPECS) throw fail(`it has its ${name} settings many times`);
    if (!forEachField(spec, (field) => parts[name].set(field.number, field)))
      throw fail(`its ${name} settings are damaged`);
  };
  const isMessage = forEachField(bytes, (field) => {
    if (field.number === MODEL.pieces) parts.pieces.push(pieceOf(field, parts.pieces.length, fail));
    else if (field.number === MODEL.trainer) readSpec('trainer', field.bytes);
    else if (field.number === MODEL.normalizer) readSpec('normalizer', field.bytes);
    else if (field.number === MODEL.denormalizer) refuseDenormalizer(field.bytes, fail);
  });
  if (!isMessage) throw fail('it is damaged, or another kind of file');
  return parts;
}

/** Rules for decoding: no published model has any. */
function refuseDenormalizer(spec: Buffer, fail: Fail): void {
  const isMessage = forEachField(spec, ({ number, bytes }) => {
    if (number === NORMALIZER.charsmap && bytes.length > 0)
      throw fail('it has rules for decoding (denormalizer_spec), which are not supported');
  });
  if (!isMessage) throw fail('its denormalizer settings are damaged');
}

function pieceOf({ bytes }: ReadField, id: number, fail: Fail): Piece {
  if (id >= MOST_PIECES) throw fail(`it has more than ${MOST_PIECES} pieces`);
  let [text, score, type] = ['', 0, PIECE_TYPE.normal as number];
  const isMessage = forEachField(bytes, (field) => {
    if (field.number === PIECE.text) text = textOf(field.bytes, id, fail);
    else if (field.number === PIECE.score && field.bytes.length === 4)
      score = field.bytes.readFloatLE();
    else if (field.number === PIECE.type) type = field.value;
  });
  if (!isMessage) throw fail(`its piece ${id} is damaged`);
  if (text === '') throw fail(`its piece ${id} has no text`);
  if (!Number.isFinite(score)) throw fail(`the score of its piece ${id} is not a number`);
  if (!(type >= PIECE_TYPE.normal && type <= PIECE_TYPE.byte))
    throw fail(`its piece ${id} has the unknown type ${type}`);
  return { text, score, type };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Buffer, id: number, fail: Fail): string {
  if (bytes.length > LONGEST_PIECE) throw fail(`its piece ${id} has ${bytes.length} bytes`);
  try {
    return utf8.decode(bytes);
  } catch {
    throw fail(`its piece ${id} is not UTF-8`);
  }
}

function idsOf({ trainer, pieces }: Parts, fail: Fail): SpecialIds {
  const idOf = (field: number, missing: number): number => {
    const id = wholeOf(trainer, field, missing);
    // -1 is written as a varint of 64 bits
    return id < pieces.length ? id : -1;
  };
  const unk = pieces.findIndex(({ type }) => type === PIECE_TYPE.unknown);
  if (unk < 0) throw fail('it has no piece for unknown text');
  return {
    unk,
    bos: idOf(TRAINER.bos_id, 1),
    eos: idOf(TRAINER.eos_id, 2),
    pad: idOf(TRAINER.pad_id, -1),
  };
}

function wholeOf(settings: Settings, number: number, missing: number): number {
  const value = settings.get(number)?.value;
  return value === undefined || Number.isNaN(value) ? missing : value;
}

const flagOf = (settings: Settings, number: number, missing: boolean): boolean =>
  wholeOf(settings, number, Number(missing)) !== 0;
