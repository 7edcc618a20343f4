import type {
  ConfigurePageMessage,
  ConfigurePageState,
} from '../../src/shared/pages/configure/protocol';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<ConfigurePageMessage, ConfigurePageState>();
