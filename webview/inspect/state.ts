import type {
  InspectHostMessage,
  InspectPageMessage,
  Values,
} from '../../src/shared/pages/inspect/protocol';
import type { InspectStringKey } from '../../src/shared/pages/inspect/strings';
import type { Page } from '../shared/page';
import type { TensorSorting } from './tensors';

export type FileMessage = Extract<InspectHostMessage, { kind: 'file' }>;

/** The values of the chosen tensor: on their way, read, or why they cannot be read. */
export type Measured =
  | { readonly kind: 'reading' }
  | { readonly kind: 'values'; readonly values: Values }
  | { readonly kind: 'none'; readonly why: string };

export interface InspectState {
  readonly file: FileMessage | null;
  /** Sentences about the adapter that the file holds. */
  readonly findings: readonly string[];
  /** Why the file cannot be read. */
  readonly fault: string | null;
  readonly sorting: TensorSorting;
  readonly filter: string;
  /** Name of the tensor whose values are shown. */
  readonly chosen: string | null;
  readonly measured: Measured;
}

export type InspectPage = Page<InspectState, InspectPageMessage, InspectStringKey>;

export const INITIAL_STATE: InspectState = {
  file: null,
  findings: [],
  fault: null,
  sorting: { column: null, descending: false },
  filter: '',
  chosen: null,
  measured: { kind: 'reading' },
};

export function reduceInspect(state: InspectState, message: InspectHostMessage): InspectState {
  switch (message.kind) {
    case 'file': {
      const known = message.tensors.some(({ name }) => name === state.chosen);
      const chosen = known ? state.chosen : null;
      const measured = { kind: 'reading' } as const;
      return { ...state, file: message, findings: [], fault: null, chosen, measured };
    }
    case 'findings':
      return { ...state, findings: message.findings };
    case 'values':
      return message.tensor === state.chosen
        ? { ...state, measured: { kind: 'values', values: message.values } }
        : state;
    case 'noValues':
      return message.tensor === state.chosen
        ? { ...state, measured: { kind: 'none', why: message.why } }
        : state;
    case 'fault':
      return { ...state, file: null, fault: message.message };
  }
}
