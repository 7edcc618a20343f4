import { isLocalPath } from '../../formats/hub/publishedBase';

const TEXT = String.raw`"(?:[^"\\]|\\.)*"`;
const NAME = new RegExp(String.raw`("name_or_path"\s*:\s*)(${TEXT})`, 'g');
/** A text that begins with a folder below the root, or on a drive. */
const PATH = /"(?:\/[^"\\/]+\/|[A-Za-z]:(?:\\\\|\/))(?:[^"\\]|\\.)*"/;

/**
 * tokenizer_config.json with the base in place of a path, where transformers keeps what it has read
 * the tokenizer from. All else stays as it is written.
 */
export const withBaseName = (config: string, base: string): string =>
  config.replace(NAME, (all, key: string, value: string) =>
    isLocalPath(textOf(value)) ? `${key}${JSON.stringify(base)}` : all,
  );

/** The first absolute path that JSON contains; null: none. */
export function pathInJson(json: string): string | null {
  const [found] = PATH.exec(json) ?? [];
  return found === undefined ? null : textOf(found);
}

function textOf(json: string): string {
  try {
    return JSON.parse(json) as string;
  } catch {
    return json;
  }
}
