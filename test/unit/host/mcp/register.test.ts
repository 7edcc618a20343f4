import { describe, expect, it, vi } from 'vitest';
import type { Services } from '../../../../src/host/services';

interface Provider {
  readonly onDidChangeMcpServerDefinitions: (listener: () => void) => unknown;
  readonly provideMcpServerDefinitions: () => readonly Definition[];
}

class Definition {
  readonly values: readonly unknown[];
  constructor(...values: readonly unknown[]) {
    this.values = values;
  }
}

const editor = vi.hoisted(() => ({
  isTrusted: false,
  trusted: [] as (() => void)[],
  providers: [] as { readonly id: string; readonly provider: Provider }[],
}));

vi.mock('vscode', () => {
  const nothing = () => ({ dispose: () => undefined });
  const uri = (fsPath: string) => ({ scheme: 'file', fsPath });
  return {
    Disposable: { from: (...all: readonly unknown[]) => ({ all }) },
    EventEmitter: class {
      private readonly listeners: (() => void)[] = [];
      readonly event = (listener: () => void) => this.listeners.push(listener);
      fire = () => this.listeners.forEach((listener) => listener());
    },
    Uri: { joinPath: (base: { fsPath: string }, name: string) => uri(`${base.fsPath}/${name}`) },
    extensions: { getExtension: () => undefined },
    workspace: {
      get isTrusted() {
        return editor.isTrusted;
      },
      workspaceFolders: [
        { uri: uri('/w/a b'), name: 'a b' },
        { uri: { scheme: 'vscode-vfs', fsPath: '/far' }, name: 'far' },
      ],
      getConfiguration: () => ({ get: (_: string, value: unknown) => value }),
      onDidGrantWorkspaceTrust: (listener: () => void) => editor.trusted.push(listener),
      onDidChangeWorkspaceFolders: nothing,
      onDidChangeConfiguration: nothing,
    },
    McpStdioServerDefinition: Definition,
    lm: {
      registerMcpServerDefinitionProvider: (id: string, provider: Provider) =>
        editor.providers.push({ id, provider }),
    },
  };
});

const { registerMcp } = await import('../../../../src/host/mcp/register');

describe('the MCP servers that VS Code is offered', () => {
  it('are one for each folder on this machine, once the workspace is trusted', () => {
    registerMcp({
      cli: '/ext/dist/cli.js',
      context: {
        extension: { packageJSON: { version: '9.9.9' } },
        globalStorageUri: { fsPath: '/none' },
      },
    } as unknown as Services);
    const [{ id, provider }] = editor.providers as [(typeof editor.providers)[number]];
    expect(id).toBe('lora.mcp');
    expect(provider.provideMcpServerDefinitions()).toEqual([]);
    const changed = vi.fn();
    provider.onDidChangeMcpServerDefinitions(changed);
    editor.isTrusted = true;
    editor.trusted[0]!();
    expect(changed).toHaveBeenCalledOnce();
    expect(provider.provideMcpServerDefinitions()).toEqual([
      new Definition(
        'LoRA Workbench (a b)',
        process.execPath,
        ['/ext/dist/cli.js', 'mcp', '--root', '/w/a b'],
        { LORA_RUNS_PRIVATE: '1', ELECTRON_RUN_AS_NODE: '1' },
        '9.9.9',
      ),
    ]);
  });
});
