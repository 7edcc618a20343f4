import type {
  PlaygroundPageMessage,
  PlaygroundPageState,
} from '../../src/shared/pages/playground/protocol';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<PlaygroundPageMessage, PlaygroundPageState>();
