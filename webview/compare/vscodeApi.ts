import type { ComparePageMessage, ComparePageState } from '../../src/shared/pages/compare/protocol';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<ComparePageMessage, ComparePageState>();
