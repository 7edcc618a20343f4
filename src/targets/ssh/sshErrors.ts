import { LoraError } from '../../shared/errors';
import { shellQuote } from '../../common/shellQuote';
import { lastLines } from '../../runtime/exec';
import { TargetUnreachable } from '../targetError';
import { NO_NODE } from './bootstrap';

/** How an ssh process ended. */
export interface SshEnd {
  readonly host: string;
  /** Null: a signal ended it. */
  readonly exitCode: number | null;
  readonly stderr: string;
}

interface Reason {
  readonly pattern: RegExp;
  readonly message: (host: string) => string;
  readonly fix: (host: string) => string;
  /** Whether it may be over soon. */
  readonly passes?: true;
}

const login = (host: string) => `ssh ${shellQuote(host)}`;

/** What OpenSSH says, and what it means. The first that matches counts. */
const REASONS: readonly Reason[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed/,
    message: (host) => `The key of ${host} is another one than before: it may be another machine.`,
    fix: (host) =>
      `Find out why. If the machine was set up anew, remove its old key with ssh-keygen -R and log in once with: ${login(host)}`,
  },
  {
    pattern: /No \S+ host key is known|Host key verification failed/,
    message: (host) => `The key of ${host} is not known, so it is not certain which machine it is.`,
    fix: (host) => `Log in once in a terminal and compare the key that is shown: ${login(host)}`,
  },
  {
    pattern: /Could not resolve hostname|Name or service not known|nodename nor servname/,
    message: (host) => `There is no host ${host}.`,
    fix: () => 'Correct "host" in targets.json, or add the host to your ssh configuration.',
  },
  {
    pattern: /Permission denied|Too many authentication failures|No supported authentication/,
    message: (host) => `${host} refuses the login.`,
    fix: (host) =>
      `Passwords are not asked for: set up a key (ssh-copy-id) or load it into the agent (ssh-add) until this works: ${login(host)}`,
  },
  {
    pattern: /Connection refused/,
    message: (host) => `${host} refuses the connection: no SSH server answers there.`,
    fix: () => 'Start its SSH server, or correct the port in your ssh configuration.',
    passes: true,
  },
  {
    pattern: /timed out|No route to host|Network is unreachable|Host is down/i,
    message: (host) => `${host} does not answer.`,
    fix: () => 'Check the network, and whether the machine is on.',
    passes: true,
  },
  {
    pattern: /Bad configuration option|Can't open user config file|terminating, \d+ bad/,
    message: () => 'The ssh configuration is not valid.',
    fix: () => 'Correct it.',
  },
];

const FAILED_TO_CONNECT = 255;

/** The error of a connection that has ended. */
export function sshError({ host, exitCode, stderr }: SshEnd): LoraError {
  if (exitCode === NO_NODE) return new NoNode(host);
  const reason = REASONS.find(({ pattern }) => pattern.test(stderr));
  const cause = new Error(lastLines(stderr));
  if (reason) {
    const options = { fix: reason.fix(host), cause };
    const message = reason.message(host);
    return reason.passes
      ? new TargetUnreachable(message, options)
      : new LoraError('target', message, options);
  }
  const said = lastLines(stderr, 2);
  return new TargetUnreachable(
    exitCode === FAILED_TO_CONNECT || exitCode === null
      ? `The connection to ${host} has ended${said === '' ? '' : `: ${said}`}.`
      : `${host} cannot start what is needed (exit code ${exitCode})${said === '' ? '' : `: ${said}`}.`,
    { cause },
  );
}

/** There is no Node on the host, or none that is new enough. */
export class NoNode extends LoraError {
  constructor(host: string) {
    super('target', `${host} has no Node 20 or newer.`, {
      fix: 'Install Node there, or name its path as "node" in targets.json.',
    });
  }
}
