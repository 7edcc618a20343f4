import * as vscode from 'vscode';
import type { Services } from '../services';
import { WindowClose } from './windowClose';

/** Applies the setting lora.engine.onWindowClose to the runs that this window starts. */
export const registerEngine = ({ store, launcher, context }: Services): vscode.Disposable =>
  vscode.Disposable.from(new WindowClose(store.engines, launcher, context.workspaceState));
