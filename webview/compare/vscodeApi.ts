import type { ComparePageMessage, ComparePageState } from '../../src/shared/comparison';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<ComparePageMessage, ComparePageState>();
