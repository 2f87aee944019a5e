// `probe:` as the config writes it. Pure.
import type { Probe } from '../model/forward.ts';
import { text, wrong, type Parsed } from './value.ts';

const forms = 'must be tcp, http://…, https://…, postgres, redis or { greeting: REGEX }';

export function probe(value: unknown): Parsed<Probe> {
  if (value === 'tcp' || value === 'postgres' || value === 'redis') return { value: { kind: value } };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const [[kind, pattern] = ['', undefined], more] = Object.entries(value);
    return kind === 'greeting' && more === undefined ? greeting(pattern) : wrong(forms);
  }
  if (typeof value !== 'string') return wrong(forms);
  if (value.startsWith('greeting:')) return greeting(value.slice('greeting:'.length).trim());
  return /^https?:/i.test(value) ? web(value) : wrong(forms);
}

function greeting(pattern: unknown): Parsed<Probe> {
  const read = text(pattern);
  if ('problem' in read) return wrong(forms);
  try {
    new RegExp(read.value);
    return { value: { kind: 'greeting', pattern: read.value } };
  } catch {
    return wrong('has a greeting that is not a regular expression');
  }
}

function web(written: string): Parsed<Probe> {
  return URL.canParse(written) && new URL(written).hostname !== ''
    ? { value: { kind: 'http', url: written } }
    : wrong('must be a whole URL, like http://localhost/health');
}
