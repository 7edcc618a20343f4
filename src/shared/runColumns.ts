/** What a column of the table of runs holds. `aliases`: other names of it in a filter. */
export interface RunColumn {
  readonly kind: 'number' | 'text';
  readonly aliases?: readonly string[];
}

/** The columns of the table of runs. Those with numbers can be compared in a filter: loss<0.4. */
export const RUN_COLUMNS = {
  r: { kind: 'number', aliases: ['rank'] },
  alpha: { kind: 'number', aliases: ['lora_alpha'] },
  loss: { kind: 'number' },
  score: { kind: 'number' },
  suites: { kind: 'number', aliases: ['suite', 'evaluation'] },
  validation: { kind: 'number' },
  training: { kind: 'number' },
  steps: { kind: 'number', aliases: ['step'] },
  time: { kind: 'number', aliases: ['seconds'] },
  rate: { kind: 'number', aliases: ['lr', 'learning_rate'] },
  batch: { kind: 'number' },
  parameters: { kind: 'number' },
  started: { kind: 'number' },
  metric: { kind: 'text' },
  state: { kind: 'text' },
  base: { kind: 'text' },
  dataset: { kind: 'text' },
  recipe: { kind: 'text' },
  targets: { kind: 'text' },
  tags: { kind: 'text' },
  sweep: { kind: 'text' },
} as const satisfies Readonly<Record<string, RunColumn>>;

export type RunColumnId = keyof typeof RUN_COLUMNS;
export type NumberColumnId = {
  [Id in RunColumnId]: (typeof RUN_COLUMNS)[Id]['kind'] extends 'number' ? Id : never;
}[RunColumnId];
export type TextColumnId = Exclude<RunColumnId, NumberColumnId>;

export const RUN_COLUMN_IDS = Object.keys(RUN_COLUMNS) as readonly RunColumnId[];

export const isNumberColumn = (id: RunColumnId): id is NumberColumnId =>
  RUN_COLUMNS[id].kind === 'number';

/** A run in numbers and texts; null and empty: not known. */
export interface RunCells {
  readonly numbers: Readonly<Record<NumberColumnId, number | null>>;
  readonly texts: Readonly<Record<TextColumnId, string>>;
  /** Everything that the words of a filter are looked for in, in lower case. */
  readonly search: string;
}
