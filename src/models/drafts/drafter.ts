import { LookupText, type Draft } from './lookup';
import type { StepTimes } from './stepTimes';

/** A draft, and how likely each of its tokens is kept if those before it are. */
export interface LikelyDraft extends Draft {
  readonly chances: readonly number[];
}

/** By how much what was learned counts less with each draft. */
const FORGETTING = 0.97;
/** What is thought of a draft after so many matched tokens, and as how many drafts it counts. */
const CLASSES = [
  { least: 10, chance: 0.85, weight: 2 },
  { least: 6, chance: 0.75, weight: 2 },
  { least: 4, chance: 0.65, weight: 2 },
  { least: 3, chance: 0.5, weight: 2 },
  { least: 0, chance: 0.35, weight: 2 },
] as const;

interface Learnt {
  kept: number;
  checked: number;
}

/** Makes the drafts of one answer, and learns from what is kept of them. */
export class Drafter {
  private readonly text: LookupText;
  private readonly learnt: readonly Learnt[] = CLASSES.map(({ chance, weight }) => ({
    kept: chance * weight,
    checked: weight,
  }));

  constructor(prompt: readonly number[]) {
    this.text = new LookupText(prompt);
  }

  push(id: number): void {
    this.text.push(id);
  }

  /** At most `most` tokens that may follow; null: none. */
  draft(most: number): LikelyDraft | null {
    const draft = this.text.draft(most);
    return draft && { ...draft, chances: draft.ids.map((_, i) => this.chance(draft.matched + i)) };
  }

  /** Of the first `checked` tokens of a draft `kept` were kept. */
  learn({ matched }: Draft, checked: number, kept: number): void {
    this.forget();
    for (let i = 0; i < checked && i <= kept; i++) {
      const own = this.learnt[classOf(matched + i)]!;
      own.checked++;
      if (i < kept) own.kept++;
    }
  }

  private chance(matched: number): number {
    const { kept, checked } = this.learnt[classOf(matched)]!;
    return kept / checked;
  }

  /** Resets the estimates, so that drafts are tried again. */
  private forget(): void {
    this.learnt.forEach((own, i) => {
      const { chance, weight } = CLASSES[i]!;
      own.kept = chance * weight + FORGETTING * (own.kept - chance * weight);
      own.checked = weight + FORGETTING * (own.checked - weight);
    });
  }
}

const classOf = (matched: number): number => CLASSES.findIndex(({ least }) => matched >= least);

/**
 * How many tokens of each draft are checked in one step, which has a row for each of `drafts` and
 * one for each checked token, at most `rows`: so many that the step writes most tokens in its time.
 */
export function checkedTokens(
  drafts: readonly (LikelyDraft | null)[],
  rows: number,
  times: Pick<StepTimes, 'ratio'>,
): readonly number[] {
  const counts = drafts.map(() => 0);
  const own = drafts.length;
  let best = { counts: [...counts], speed: own };
  let tokens = own;
  for (let next = likeliest(drafts, counts); next; next = likeliest(drafts, counts)) {
    counts[next.draft]!++;
    tokens += next.chance;
    const used = own + counts.reduce((a, b) => a + b);
    if (used > rows) break;
    const speed = tokens / times.ratio(own, used);
    if (speed > best.speed) best = { counts: [...counts], speed };
  }
  return best.counts;
}

/** The token most likely to be kept of those that come next in each draft. */
function likeliest(
  drafts: readonly (LikelyDraft | null)[],
  counts: readonly number[],
): { readonly draft: number; readonly chance: number } | null {
  let best: { readonly draft: number; readonly chance: number } | null = null;
  drafts.forEach((draft, i) => {
    const upTo = draft?.chances.slice(0, counts[i]! + 1) ?? [];
    if (upTo.length <= counts[i]!) return;
    const chance = upTo.reduce((a, b) => a * b, 1);
    if (chance > (best?.chance ?? 0)) best = { draft: i, chance };
  });
  return best;
}
