import type {
  CertificateHostMessage,
  CertificatePageMessage,
} from '../../src/shared/pages/certificate/protocol';
import type { CertificateStringKey } from '../../src/shared/pages/certificate/strings';
import type { Page } from '../shared/page';
import type { TableSorting } from '../shared/sorting';

export type CertificateMessage = Extract<CertificateHostMessage, { kind: 'certificate' }>;
export type VerifiedMessage = Extract<CertificateHostMessage, { kind: 'verified' }>;

export const CHANGE_COLUMNS = ['name', 'dtype', 'norm', 'error', 'unmoved'] as const;
export type ChangeColumn = (typeof CHANGE_COLUMNS)[number];

export interface CertificateState {
  readonly shown: CertificateMessage | null;
  /** Whether the files still have their hashes; null until that was asked. */
  readonly verified: VerifiedMessage | null;
  /** Why the certificate cannot be read. */
  readonly fault: string | null;
  readonly sorting: TableSorting<ChangeColumn | null>;
}

export type CertificatePage = Page<CertificateState, CertificatePageMessage, CertificateStringKey>;

export const INITIAL_STATE: CertificateState = {
  shown: null,
  verified: null,
  fault: null,
  sorting: { column: null, descending: false },
};

export function reduceCertificate(
  state: CertificateState,
  message: CertificateHostMessage,
): CertificateState {
  switch (message.kind) {
    case 'certificate':
      return { ...state, shown: message, verified: null, fault: null };
    case 'verified':
      return { ...state, verified: message };
    case 'fault':
      return { ...state, shown: null, fault: message.message };
  }
}
