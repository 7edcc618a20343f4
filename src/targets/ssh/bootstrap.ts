import { remoteCommand } from './remoteCommand';

/** The exit code of the script when there is no Node. */
export const NO_NODE = 42;

// The scripts hold no single quotes, so that they are the same in every login shell.

/**
 * $1: the program to use, or empty; $2: the root; $3: Node's script; $4: its argument. Of the
 * programs on the PATH and under the root, the first that is new enough is started.
 */
const FIND_NODE = [
  'r=$2',
  'case $r in "~") r=$HOME;; "~/"*) r=$HOME/${r#"~/"};; esac',
  'if [ -n "$1" ]; then set -- "$1" "$1" "$3" "$4"; else set -- node "$r/node/bin/node" "$3" "$4"; fi',
  'for n in "$1" "$2"; do v=$("$n" -p process.versions.node 2>/dev/null) || continue; ' +
    'case $v in [2-9][0-9].*) exec "$n" -e "$3" "$4";; esac; done',
  `exit ${NO_NODE}`,
].join('; ');

/** Reads the agent, whose length in bytes is the argument, and runs it. */
const RUN_AGENT = [
  'const f=require("fs"),b=Buffer.alloc(+process.argv[1])',
  'for(let i=0;i<b.length;){const n=f.readSync(0,b,i,b.length-i);if(!n)process.exit(1);i+=n}',
  'module._compile(b.toString(),"agent.js")',
].join(';');

/** What the agent is started with. */
export interface AgentCommand {
  /** The path of Node there; null: to be found. */
  readonly node: string | null;
  readonly root: string;
  /** Of the agent, which is sent on standard input, in bytes. */
  readonly length: number;
}

/** The command that starts the agent on a host. */
export function agentCommand({ node, root, length }: AgentCommand): string {
  const words = ['/bin/sh', '-c', FIND_NODE, 'lora', node ?? '', root, RUN_AGENT, String(length)];
  return `exec ${remoteCommand(words)}`;
}
