import type { OverlayPageMessage, OverlayPageState } from '../../src/shared/overlay';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<OverlayPageMessage, OverlayPageState>();
