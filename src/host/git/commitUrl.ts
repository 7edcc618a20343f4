/**
 * The page of a commit on the server of its repository, from the address that it is fetched from:
 * https://host/path.git, ssh://git@host/path.git or git@host:path.git. Null for other addresses.
 */
export function commitUrl(remote: string, commit: string): string | null {
  const [, host, path] =
    /^https:\/\/(?:[^@/]+@)?([\w.-]+(?::\d+)?)\/(.+)$/.exec(remote) ??
    /^ssh:\/\/(?:[^@/]+@)?([\w.-]+)(?::\d+)?\/(.+)$/.exec(remote) ??
    /^(?:[\w.-]+@)?([\w.-]+\.[\w-]+):(?!\/\/)(.+)$/.exec(remote) ??
    [];
  if (host === undefined || path === undefined) return null;
  const repository = path.replace(/\/$/, '').replace(/\.git$/, '');
  if (!/^[\w.~/-]+$/.test(repository) || !/^[0-9a-f]+$/.test(commit)) return null;
  return `https://${host}/${repository}/commit/${commit}`;
}
