// From the steps of a dial to the findings of `tunnel why`: every layer of every hop has its line, in order. Pure.
import type { ErrorReport, TunnelError } from '../errors.ts';
import { cleanText } from '../model/clean.ts';
import type { Host, Way } from '../model/host.ts';
import type { DialStep } from '../model/session.ts';
import type { Finding, WhyDocument, WhyStep } from '../model/why.ts';

type Layer = DialStep['layer'];

const layers: readonly Layer[] = ['dns', 'tcp', 'kex', 'host-key', 'auth'];

export interface Dialled {
  readonly way: Way;
  readonly steps: readonly DialStep[];
  /** What the dial failed with; null when it led to the last hop. */
  readonly error: TunnelError | ErrorReport | null;
  /** The last login that succeeded: said of layers that were not reached. */
  readonly last: readonly DialStep[] | null;
}

/** The findings of every hop, nearest first. Exactly one carries the error, when there is one. */
export function findingsOf({ way, steps, error, last }: Dialled): Finding[] {
  const failing = error === null ? null : failingHop(way, steps);
  return way.flatMap((host, index) => {
    const own = steps.filter(({ hop }) => hop === host.name);
    const before = last?.filter(({ hop }) => hop === host.name) ?? [];
    const failure = failing === index ? error : null;
    const scene = { host, own, before, behind: way[index - 1] ?? null };
    return hopFindings(scene, failure === null ? null : layerOf(failure, own), failure);
  });
}

interface HopScene {
  readonly host: Host;
  readonly own: readonly DialStep[];
  readonly before: readonly DialStep[];
  /** The hop in front of it. */
  readonly behind: Host | null;
}

function hopFindings(scene: HopScene, broken: Layer | null, failure: Dialled['error']): Finding[] {
  const { host, own, before } = scene;
  return layers.flatMap((layer): Finding[] => {
    const error = layer === broken && failure !== null ? reportOf(failure) : null;
    const told = ofLayer(own, layer);
    if (error !== null) return withFailure(told, { host, layer, error });
    if (told.length > 0) return told.map((step) => found(whyStep(step)));
    return [found(untold(scene, layer, ofLayer(before, layer)))];
  });
}

/** The credentials each by itself; the sum of them only where nothing was offered. */
function ofLayer(steps: readonly DialStep[], layer: Layer): readonly DialStep[] {
  const own = steps.filter((step) => step.layer === layer);
  if (layer !== 'auth') return own;
  const single = own.slice(0, -1);
  return single.length > 0 ? single : own;
}

function withFailure(
  told: readonly DialStep[],
  { host, layer, error }: { host: Host; layer: Layer; error: ErrorReport },
): Finding[] {
  const at = told.findLastIndex(({ status }) => status === 'failed');
  if (at >= 0)
    return told.map((step, index) => ({ step: whyStep(step), error: index === at ? error : null }));
  const step: WhyStep = { hop: host.name, layer, status: 'failed', ms: 0, detail: whyOf(error.message) };
  return [...told.map((each) => found(whyStep(each))), { step, error }];
}

/** What nobody reported: not needed, or not reached. */
function untold({ host, own, behind }: HopScene, layer: Layer, before: readonly DialStep[]): WhyStep {
  const step = { hop: host.name, layer, ms: 0 } as const;
  const reached = own.some((each) => layers.indexOf(each.layer) > layers.indexOf(layer));
  if (layer === 'dns' && reached) {
    if (behind !== null) return { ...step, status: 'skipped', detail: `${behind.name} looks it up` };
    const name = host.proxy?.host ?? host.hostname;
    if (host.proxyCommand !== null)
      return { ...step, status: 'skipped', detail: 'the proxy command looks it up' };
    if (isAddress(name)) return { ...step, status: 'ok', detail: `${name} is an address` };
  }
  const times = before.map(({ detail }) => whyOf(detail)).join('; ');
  return { ...step, status: 'skipped', detail: times === '' ? '' : `last time: ${cleanText(times)}` };
}

/** The first one that is not through. */
function failingHop(way: Way, steps: readonly DialStep[]): number {
  const through = (host: Host): boolean =>
    steps.some(({ hop, layer, status }) => hop === host.name && layer === 'auth' && status === 'ok');
  const open = way.findIndex((host) => !through(host));
  return open < 0 ? way.length - 1 : open;
}

/** By the code where it tells, else where a step failed, else by the error's own facts. */
function layerOf(error: TunnelError | ErrorReport, steps: readonly DialStep[]): Layer {
  const { code } = error;
  if (code.startsWith('HOST_KEY_')) return 'host-key';
  if (['AUTH_REFUSED', 'KEY_UNREADABLE', 'SECRET_MISSING', 'AGENT_DOWN'].includes(code)) return 'auth';
  const failed = steps.findLast(({ status }) => status === 'failed')?.layer;
  if (failed !== undefined) return failed;
  const facts = 'facts' in error ? error.facts : {};
  return layers.find((layer) => layer === facts.layer) ?? (code === 'KEX_FAILED' ? 'kex' : 'tcp');
}

function reportOf({ code, message, hint }: ErrorReport): ErrorReport {
  return { code, message, hint };
}

/** IPv6 has colons, and names have none. */
const isAddress = (name: string): boolean => name.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);

const found = (step: WhyStep): Finding => ({ step, error: null });

function whyStep({ hop, layer, status, ms, detail }: DialStep): WhyStep {
  return { hop, layer, status, ms, detail: cleanText(whyOf(detail)) };
}

/** "login failed, on box (10.0.0.1:22): no answer" -> "no answer": the line itself says what and where. */
function whyOf(sentence: string): string {
  return sentence.replace(/^[^,:]+, on \S+(?: \([^()]*\))?: /, '');
}

/** The document of all findings; the first that failed names the error. */
export function documentOf(name: string, findings: readonly Finding[]): WhyDocument {
  const error = findings.find((finding) => finding.error !== null)?.error ?? null;
  const steps = findings.map(({ step }) => ({ ...step, ms: Math.round(step.ms * 100) / 100 }));
  return { name, ok: error === null, steps, error };
}
