// Renders our Helm chart by the little of Go's templates that it uses (pkg.go.dev/text/template); what is beyond that throws.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { repository } from './dockerfile.ts';

const chart = join(repository, 'deploy/helm/tunnel');

export type Values = Record<string, unknown>;

export const defaultValues = (): Values => parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as Values;

/** The text of each template, as `helm template RELEASE` gives it. */
export function renderChart(release: string, values: Values): readonly string[] {
  const root = { Values: values, Release: { Name: release } };
  return readdirSync(join(chart, 'templates')).map((name) => {
    const text = readFileSync(join(chart, 'templates', name), 'utf8').replace(/\s*\{\{- /g, '{{ ');
    const parts = text.split(/\{\{ (.*?) \}\}/);
    const rendered = render(parts, 0, root);
    if (rendered.next < parts.length) throw new Error(`${name}: an end too many`);
    return rendered.text;
  });
}

/** `parts`: text and actions in turn. Up to the `end` of the block that `at` stands in. */
function render(parts: readonly string[], at: number, scope: unknown): { text: string; next: number } {
  let text = '';
  let next = at;
  while (next < parts.length) {
    text += parts[next] ?? '';
    const action = parts[next + 1];
    next += 2;
    if (action === undefined) break;
    if (action === 'end') return { text, next };
    const [, block, path = ''] = /^(if|range) (\S+)$/.exec(action) ?? [];
    if (block === undefined) text += valueOf(action, scope);
    else {
      const value = lookUp(path, scope);
      const scopes = block === 'range' ? (value as unknown[]) : value === true ? [scope] : [];
      text += scopes.map((each) => render(parts, next, each).text).join('');
      ({ next } = render(parts, next, scopes[0] ?? scope));
    }
  }
  return { text, next };
}

function valueOf(action: string, scope: unknown): string {
  const [, to, path = '', indent] = /^(?:(toYaml|toJson) )?(\.\S+)(?: \| nindent (\d+))?$/.exec(action) ?? [];
  if (path === '') throw new Error(`no action that is known here: ${action}`);
  const value = lookUp(path, scope);
  if (to === 'toJson') return JSON.stringify(value);
  const text = to === 'toYaml' ? stringify(value).trimEnd() : String(value);
  return indent === undefined ? text : `\n${text.replace(/^/gm, ' '.repeat(Number(indent)))}`;
}

function lookUp(path: string, scope: unknown): unknown {
  let value = scope;
  for (const name of path.slice(1).split('.')) {
    value = (value as Record<string, unknown>)[name];
    if (value === undefined) throw new Error(`no value: ${path}`);
  }
  return value;
}
