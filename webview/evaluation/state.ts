import type { Evaluation } from '../../src/shared/evaluation/result';
import type {
  Ballot,
  BriefRow,
  EvaluationHostMessage,
  EvaluationPageMessage,
  EvaluationPageState,
  OpenedRow,
  VoteRatings,
} from '../../src/shared/pages/evaluation/protocol';
import type { EvaluationStringKey } from '../../src/shared/pages/evaluation/strings';
import type { Page } from '../shared/page';
import { SCROLL_START, type Scrolling } from '../shared/scroll';
import { listedRows } from './model/list';

export interface EvaluationState {
  readonly name: string;
  readonly evaluation: Evaluation | null;
  /** Why the evaluation cannot be read. */
  readonly fault: string | null;
  readonly rows: readonly BriefRow[];
  /** Whether all rows have come. */
  readonly isComplete: boolean;
  /** What is searched for, and the rows that contain it; null: not answered yet, or no search. */
  readonly search: string;
  readonly found: ReadonlySet<number> | null;
  /** The rows that fit the filters and the search. */
  readonly listed: readonly BriefRow[];
  readonly scrolling: Scrolling;
  /** The height of the visible rows, in pixels. */
  readonly visible: number;
  /** The place of the active row in the list. */
  readonly place: number;
  readonly opened: OpenedRow | null;
  readonly ballot: Ballot | null;
  readonly ratings: VoteRatings | null;
  readonly said: { readonly message: string; readonly isError: boolean } | null;
  /** What VS Code keeps. */
  readonly kept: EvaluationPageState;
}

export type EvaluationPage = Page<EvaluationState, EvaluationPageMessage, EvaluationStringKey>;

export const initialEvaluation = (kept: EvaluationPageState): EvaluationState => ({
  name: '',
  evaluation: null,
  fault: null,
  rows: [],
  isComplete: false,
  search: '',
  found: null,
  listed: [],
  scrolling: SCROLL_START,
  visible: 0,
  place: 0,
  opened: null,
  ballot: null,
  ratings: null,
  said: null,
  kept,
});

export function reduceEvaluation(
  state: EvaluationState,
  message: EvaluationHostMessage,
): EvaluationState {
  switch (message.kind) {
    case 'evaluation': {
      const { name, evaluation } = message;
      return { ...initialEvaluation(state.kept), visible: state.visible, name, evaluation };
    }
    case 'rows': {
      const rows = [...state.rows.slice(0, message.from), ...message.rows];
      return relisted({ ...state, rows, isComplete: message.isComplete });
    }
    case 'row':
      return { ...state, opened: message.row };
    case 'found':
      return message.text === state.search
        ? fromStart(relisted({ ...state, found: new Set(message.rows) }))
        : state;
    case 'ballot':
      return { ...state, ballot: message.ballot, said: null };
    case 'ratings':
      return { ...state, ratings: message.ratings };
    case 'said':
      return { ...state, said: message };
    case 'fault':
      return { ...state, fault: message.message };
  }
}

const relisted = (state: EvaluationState): EvaluationState => {
  const listed = listedRows(state.rows, state.kept, state.found);
  return { ...state, listed, place: Math.max(0, Math.min(state.place, listed.length - 1)) };
};

const fromStart = (state: EvaluationState): EvaluationState => ({
  ...state,
  place: 0,
  scrolling: SCROLL_START,
});

/** Shows other rows, from the first one on. */
export function wantRows(
  page: EvaluationPage,
  choice: Partial<Pick<EvaluationPageState, 'filter' | 'suite' | 'column'>>,
): void {
  const { state } = page;
  page.change(fromStart(relisted({ ...state, kept: { ...state.kept, ...choice } })));
}

/** Searches all texts of the rows; the host answers. */
export function search(page: EvaluationPage, text: string): void {
  const { state } = page;
  if (text === '') page.change(fromStart(relisted({ ...state, search: text, found: null })));
  else {
    page.change({ search: text });
    page.post({ kind: 'find', text });
  }
}

/** Opens a row of the list, by its place. */
export function openPlace(page: EvaluationPage, place: number): void {
  const row = page.state.listed[place];
  if (!row) return;
  page.change({ place });
  page.post({ kind: 'open', row: row.index });
}
