import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';

/** The longest of NFKC has 33 bytes. */
const LONGEST_RESULT = 1 << 8;
/** Longer clusters are looked up character by character, as in the Rust library. */
const LONGEST_CLUSTER = 5;
const MOST_KEPT = 1 << 16;

const utf8 = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const clusters = new Intl.Segmenter('en', { granularity: 'grapheme' });

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
const escapedUnit = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text with characters beyond ASCII, with the ASCII characters that they may form one with. */
const BEYOND_ASCII = /[\0-\x7f]?[^\0-\x7f]+[\0-\x7f]?|\r\n/g;

/**
 * Rules of a SentencePiece normalizer (precompiled_charsmap): a double array of the texts that are
 * replaced (Darts), and their replacements, each ended by a zero. A text is replaced as the Rust
 * library spm_precompiled does: the shortest rule that a short grapheme cluster begins with
 * replaces all of it; of other clusters each character is replaced.
 */
export class Charsmap {
  private readonly units: Int32Array;
  private readonly results: Uint8Array;
  private readonly known = new Map<string, string | null>();
  /** A text of ASCII characters that no rule replaces. */
  private readonly plain: RegExp;

  /** @param fail Makes the error for a map that is damaged. */
  constructor(
    bytes: Uint8Array,
    private readonly fail: (what: string) => LoraError,
  ) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const size = bytes.length < 4 ? -1 : view.getUint32(0, true);
    if (size < 4 || size % 4 !== 0 || size > bytes.length - 4)
      throw fail('is damaged: its rules are not as long as it says');
    this.units = Int32Array.from({ length: size / 4 }, (_, i) => view.getInt32(4 + 4 * i, true));
    this.results = bytes.subarray(4 + size);
    const kept = ASCII.filter((character) => this.replacement(character) === null);
    this.plain = new RegExp(`^[${kept.map(escapedUnit).join('')}]*$`);
  }

  /** The text with all rules applied. */
  normalize(text: string): string {
    let out = '';
    let from = 0;
    for (const { 0: run, index } of text.matchAll(BEYOND_ASCII)) {
      out += this.eachCharacter(text.slice(from, index));
      for (const { segment } of clusters.segment(run)) out += this.cluster(segment);
      from = index + run.length;
    }
    return out + this.eachCharacter(text.slice(from));
  }

  private cluster(cluster: string): string {
    const whole = byteLength(cluster) <= LONGEST_CLUSTER ? this.replacement(cluster) : null;
    return whole ?? this.eachCharacter(cluster);
  }

  private eachCharacter(text: string): string {
    if (this.plain.test(text)) return text;
    let out = '';
    for (const character of text) out += this.replacement(character) ?? character;
    return out;
  }

  private replacement(text: string): string | null {
    const known = this.known.get(text);
    if (known !== undefined) return known;
    const found = this.find(utf8.encode(text));
    if (this.known.size >= MOST_KEPT) this.known.clear();
    this.known.set(text, found);
    return found;
  }

  /** What the shortest rule makes of a text that begins with it. */
  private find(key: Uint8Array): string | null {
    let at = offsetOf(this.units[0] ?? 0);
    for (const byte of key) {
      if (byte === 0) return null;
      at ^= byte;
      const unit = this.units[at];
      if (unit === undefined || labelOf(unit) !== byte) return null;
      at ^= offsetOf(unit);
      if (hasLeaf(unit)) return this.resultAt((this.units[at] ?? -1) & 0x7fff_ffff);
    }
    return null;
  }

  private resultAt(start: number): string {
    const end = this.results.indexOf(0, start);
    if (start >= this.results.length || end < 0)
      throw this.fail('is damaged: a replacement is outside it');
    if (end - start > LONGEST_RESULT) throw this.fail('has a replacement that is too long');
    try {
      return decoder.decode(this.results.subarray(start, end));
    } catch {
      throw this.fail('is damaged: a replacement is not UTF-8');
    }
  }
}

// A unit of Darts: the label in bits 0 to 7 and 31, whether a value follows in bit 8, and the
// distance to the next units in bits 10 to 30, times 256 if bit 9 is set.
const labelOf = (unit: number): number => unit & (0x8000_0000 | 0xff);
const hasLeaf = (unit: number): boolean => ((unit >>> 8) & 1) === 1;
const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & (1 << 9)) >>> 6);

/** In UTF-8. */
function byteLength(text: string): number {
  return text.length > LONGEST_CLUSTER ? text.length : utf8.encode(text).length;
}

/** A normalizer of the library. A sequence has `normalizers`. */
interface NormalizerStep {
  readonly config?: { readonly type?: string; readonly precompiled_charsmap?: unknown };
  readonly normalizers?: readonly unknown[];
  normalize?: (text: string) => string;
}

/**
 * Makes the normalizers of a tokenizer that have rules of SentencePiece apply them: the library
 * knows only those of NFKC, by heart.
 *
 * @throws LoraError('tokenizer') for rules that are damaged
 */
export function applyCharsmaps(tokenizer: object, source: string): void {
  const visit = (step: unknown, key: string): void => {
    if (!isStep(step)) return;
    step.normalizers?.forEach((inner, i) => visit(inner, `${key}.normalizers.${i}`));
    if (step.config?.type !== 'Precompiled') return;
    const charsmap = charsmapOf(step.config.precompiled_charsmap, `${key}.precompiled_charsmap`);
    step.normalize = (text) => charsmap.normalize(text);
  };
  const charsmapOf = (stored: unknown, key: string): Charsmap => {
    const fail = (what: string) =>
      new LoraError('tokenizer', `The tokenizer cannot be used: "${key}" ${what}.`, {
        place: { file: source, key },
        fix: 'Download the model again from its publisher.',
      });
    if (typeof stored !== 'string') throw fail('is missing');
    return new Charsmap(Buffer.from(stored, 'base64'), fail);
  };
  visit((tokenizer as { readonly normalizer?: unknown }).normalizer, 'normalizer');
}

/** The library's steps are functions. */
const isStep = (step: unknown): step is NormalizerStep =>
  typeof step === 'function' || isObject(step);
