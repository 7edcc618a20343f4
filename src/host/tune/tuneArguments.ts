import type { QueuedOn } from '../queue/runQueue';

/** What a tune may vary, and what it varies unless something else is chosen. */
export const TUNED_KEYS = [
  { key: 'training.learning_rate', isUsual: true },
  { key: 'lora.r', isUsual: true },
  { key: 'lora.target_modules', isUsual: false },
  { key: 'training.num_train_epochs', isUsual: false },
] as const;
export type TunedKey = (typeof TUNED_KEYS)[number]['key'];

/** The keys whose values the engine chooses; others stay as they are unless they are varied. */
const CHOSEN_BY_ENGINE: readonly TunedKey[] = ['training.learning_rate', 'lora.r'];

/** What the user has chosen for a tune. */
export interface TuneChoices {
  readonly minutes: number;
  /** The keys to vary, and the values of those that the engine does not choose. */
  readonly keys: readonly { readonly key: TunedKey; readonly values: string | null }[];
  /** The recipe's own values, as JSON; null where it has none. */
  readonly own: Readonly<Record<'training.learning_rate' | 'lora.r', unknown>>;
  readonly on?: QueuedOn | undefined;
}

/** The arguments of `lora tune` for a recipe. */
export function tuneArguments(
  file: string,
  { minutes, keys, own, on }: TuneChoices,
): readonly string[] {
  const isVaried = (key: TunedKey) => keys.some((varied) => varied.key === key);
  const fixed = CHOSEN_BY_ENGINE.filter((key) => !isVaried(key)).map(
    (key) => `${key}=${JSON.stringify(own[key as keyof typeof own])}`,
  );
  const given = keys.flatMap(({ key, values }) => (values === null ? [] : [`${key}=${values}`]));
  return [
    'tune',
    file,
    ...['--minutes', String(minutes)],
    ...[...fixed, ...given].flatMap((vary) => ['--vary', vary]),
    ...(on ? ['--on', on.target, '--parallel', String(on.parallel)] : []),
  ];
}

/** A budget in minutes; undefined for what is none. */
export function minutesIn(text: string): number | undefined {
  const minutes = Number(text.trim().replace(',', '.') || NaN);
  return Number.isFinite(minutes) && minutes > 0 && minutes <= 60 * 24 * 30 ? minutes : undefined;
}
