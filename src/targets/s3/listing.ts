import { LoraError } from '../../shared/errors';

/** An object in a bucket. */
export interface StoredObject {
  readonly key: string;
  readonly size: number;
  /** Milliseconds since 1970, by the storage's clock; 0: unknown. */
  readonly changed: number;
}

/** A page of what a bucket holds. */
export interface Listing {
  readonly objects: readonly StoredObject[];
  /** What asks for the next page; null: there is none. */
  readonly next: string | null;
}

/**
 * The answer to ListObjectsV2 with encoding-type=url. Keys are given without the prefix.
 *
 * @throws LoraError('target') for anything else
 */
export function parseListing(xml: string, prefix: string): Listing {
  if (!xml.includes('<ListBucketResult')) throw notListing();
  const objects = [...xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)].map(([, entry = '']) => {
    const key = decoded(textIn(entry, 'Key'));
    const size = Number(textIn(entry, 'Size') || NaN);
    const changed = Date.parse(textIn(entry, 'LastModified'));
    if (!key.startsWith(prefix) || !Number.isSafeInteger(size) || size < 0) throw notListing();
    return { key: key.slice(prefix.length), size, changed: Number.isNaN(changed) ? 0 : changed };
  });
  const token = unescaped(textIn(xml, 'NextContinuationToken'));
  return { objects, next: token === '' ? null : token };
}

const textIn = (xml: string, name: string): string =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? '';

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

const unescaped = (text: string): string =>
  text.replace(/&(\w+);/g, (entity, name: string) => ENTITIES[name] ?? entity);

function decoded(text: string): string {
  try {
    return decodeURIComponent(unescaped(text).replaceAll('+', ' '));
  } catch {
    throw notListing();
  }
}

const notListing = (): LoraError =>
  new LoraError('target', 'The storage sent a list of objects that is not valid.');
