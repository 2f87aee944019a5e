// Issues: what is wrong in a config file, where, and how it is printed.
import { basename } from 'node:path';
import { TunnelError, type Hint } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';

/** One problem, at one place. `line` and `column` count from 1. */
export interface ConfigIssue {
  /** Absolute path of the file it is in. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Keys down to the value, joined by dots: "tunnels.db.local". Empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** A command that helps, null for none. */
  readonly hint: Hint | null;
  /** Where a forward listens at the address of another tunnel. */
  readonly clash?: Clash;
}

export interface Clash {
  /** The tunnel that has the address. */
  readonly tunnel: string;
  readonly listen: Endpoint;
  /** On the server, of remote forwards. */
  readonly isRemote: boolean;
}

/** `tunnels.yaml:6:12 tunnels.db.local: must be 1-65535`. */
export function formatIssue(issue: ConfigIssue): string {
  const place = `${basename(issue.file)}:${issue.line}:${issue.column}`;
  return issue.path === '' ? `${place} ${issue.message}` : `${place} ${issue.path}: ${issue.message}`;
}

/** CONFIG_INVALID with every issue. The message holds the first, for places that show one line. */
export class ConfigError extends TunnelError {
  readonly issues: readonly ConfigIssue[];

  constructor(file: string, issues: readonly ConfigIssue[]) {
    const [first] = issues;
    const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
    const hint = issues.find((issue) => issue.hint !== null)?.hint ?? { command: 'check' };
    const why = first === undefined ? 'it is not valid' : `${formatIssue(first)}${more}`;
    super('CONFIG_INVALID', `config failed, on ${basename(file)}: ${why}`, {
      hint,
      facts: { issues: issues.map(formatIssue) },
    });
    this.issues = issues;
  }
}

/** In reading order: the main file first, then by line and column. The same place is told once. */
export function sortIssues(issues: readonly ConfigIssue[], files: readonly string[]): ConfigIssue[] {
  const seen = new Set<string>();
  return [...issues]
    .sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column)
    .filter((issue) => {
      const key = `${issue.file}:${formatIssue(issue)}`;
      return !seen.has(key) && seen.add(key) !== undefined;
    });
}
