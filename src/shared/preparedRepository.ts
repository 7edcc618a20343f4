/** Why a file is not trained on, each with what it is called in a sentence of counts. */
export const LEFT_OUT = {
  link: 'links',
  submodule: 'submodules',
  ignored: 'ignored by .gitignore',
  other: 'in no chosen language',
  lock: 'lock files',
  generated: 'generated',
  minified: 'minified',
  binary: 'binary',
  huge: 'larger than 256 KiB',
  empty: 'empty',
  secret: 'with secrets',
  duplicate: 'copies of others',
  unreadable: 'missing or not readable',
  beyond: 'beyond the limits',
} as const;
export type LeftOut = keyof typeof LEFT_OUT;

/** The position of a secret; never the secret itself. */
export interface SecretPlace {
  readonly file: string;
  readonly line: number;
  readonly kind: string;
}

/** What `lora prepare --repository` has written. */
export interface PreparedRepository {
  readonly recipe: string;
  /** Whether middles are learned, or whole texts. */
  readonly fim: boolean;
  readonly files: number;
  readonly rows: number;
  readonly validation_rows: number;
  readonly left_out: Readonly<Partial<Record<LeftOut, number>>>;
  /** The first of them; all are in left-out.txt. */
  readonly secrets: readonly SecretPlace[];
}

/** What `lora prepare --repository DIR --languages` lists. */
export interface RepositoryLanguages {
  readonly tracked: number;
  readonly languages: readonly {
    readonly id: string;
    readonly name: string;
    readonly files: number;
  }[];
}

/** The file beside the recipe that lists the places of secrets. */
export const SECRETS_FILE = 'left-out.txt';
