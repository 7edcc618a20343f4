import { describe, expect, it, vi } from 'vitest';
import * as vscode from 'vscode';

interface Ended {
  readonly execution: object;
  readonly exitCode?: number;
}
type Listener = (ended: Ended) => void;

/** Listeners of ended processes, and of ended tasks. */
const listening = vi.hoisted(() => ({
  processes: new Set<Listener>(),
  tasks: new Set<Listener>(),
}));
const event = vi.hoisted(() => (listeners: Set<Listener>) => (listener: Listener) => {
  listeners.add(listener);
  return { dispose: () => void listeners.delete(listener) };
});

vi.mock('vscode', async () => ({
  ...(await import('../../../support/fakeVscode')).fakeVscode(),
  Task: function Task() {},
  TaskScope: {},
  ProcessExecution: function ProcessExecution() {},
  tasks: {
    executeTask: vi.fn(),
    onDidEndTaskProcess: event(listening.processes),
    onDidEndTask: event(listening.tasks),
  },
}));
const { runProgram } = await import('../../../../src/host/ui/task');

/** VS Code tells of the end of a process, if there was one, and then of its task. */
function end(execution: object, exitCode?: number): void {
  if (exitCode !== undefined) for (const tell of listening.processes) tell({ execution, exitCode });
  for (const tell of listening.tasks) tell({ execution });
}

const running = {} as vscode.TaskExecution;
const executeTask = vi.mocked(vscode.tasks.executeTask);

describe('a program in a terminal', () => {
  it('has an exit code, also where it ends before VS Code says that it was started', async () => {
    executeTask.mockImplementation(() => {
      end({}, 1);
      end(running, 3);
      return Promise.resolve(running);
    });
    expect(await runProgram('Ollama', '/bin/ollama', ['run', 'a'])).toBe(3);
  });

  it('that ends later has one, too', async () => {
    executeTask.mockResolvedValue(running);
    const code = runProgram('Ollama', '/bin/ollama', []);
    await Promise.resolve();
    end({}, 1);
    end(running, 0);
    expect(await code).toBe(0);
  });

  it('that cannot be started has none, and nobody listens any more', async () => {
    executeTask.mockResolvedValue(running);
    const code = runProgram('Ollama', '/bin/ollama', []);
    end(running);
    expect(await code).toBeUndefined();
    executeTask.mockRejectedValue(new Error('no terminals'));
    await expect(runProgram('Ollama', '/bin/ollama', [])).rejects.toThrow('no terminals');
    expect([listening.processes.size, listening.tasks.size]).toEqual([0, 0]);
  });
});
