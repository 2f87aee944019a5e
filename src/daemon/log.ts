// The log: JSON lines through a rotating file for a supervisor in the background, human lines on stderr in the foreground.
// Secrets are in boxes that print [redacted]; text from servers is made clean before it is written.
import { appendFileSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { pino } from 'pino';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { asTunnelError, reportError, TunnelError, type Hint } from '../errors.ts';
import { cleanText, jsonText } from '../model/clean.ts';
import { hintLines, hintText } from '../render/error.ts';
import type { Clock } from '../model/clock.ts';
import type { EngineLog } from '../supervisor/engine.ts';
import { CountedLog } from './log-repeats.ts';
import { keptLogFiles, logFileMegabytes, logFileName } from '../model/log-files.ts';

export type LogLevel = Parameters<EngineLog>[0];

export interface Log {
  readonly write: EngineLog;
  /** Writes at once, in the last moment of a process. */
  last(level: LogLevel, event: string, message: string, facts?: Record<string, unknown>): void;
  /** Resolves when everything has been written. Nothing may be logged after it. */
  close(): Promise<void>;
}

/**
 * JSON lines: time, level, tunnel, link, event, message, and what belongs to the event. 0600. `spare`: a descriptor of the
 * same file, for the last moment, when there may be no other to be had (EMFILE).
 */
export function openFileLog(path: string, level: LogLevel, spare: number | null = null): Log {
  const file = openRotating(path);
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    file,
  );
  return {
    write: (at, event, message, facts) =>
      logger[at]({ event, ...(facts === undefined ? {} : plain(facts)) }, cleanText(message)),
    last(at, event, message, facts = {}) {
      const text = jsonLine(at, event, message, facts);
      try {
        appendFileSync(path, text, { mode: 0o600 });
      } catch {
        if (spare !== null) writeLast(spare, text);
      }
    },
    close: () => file.close(),
  };
}

function writeLast(descriptor: number, text: string): void {
  try {
    writeSync(descriptor, text);
  } catch {
    // the disk is full or gone, and there is nobody left to tell
  }
}

/** The same lines on a stream, for whoever collects what a container writes. */
export function openLineLog(stream: NodeJS.WritableStream, level: LogLevel): Log {
  const write: EngineLog = (at, event, message, facts = {}) => {
    if (ranks[at] >= ranks[level]) stream.write(jsonLine(at, event, message, facts));
  };
  return { write, last: write, close: () => Promise.resolve() };
}

function jsonLine(level: LogLevel, event: string, message: string, facts: Record<string, unknown>): string {
  const time = new Date().toISOString();
  return `${jsonText({ level, time, event, ...plain(facts), message: cleanText(message) })}\n`;
}

/** Lines for people: time, level, tunnel, message. */
export function openTerminalLog(stream: NodeJS.WritableStream, level: LogLevel): Log {
  const write: EngineLog = (at, _event, message, facts) => {
    if (ranks[at] < ranks[level]) return;
    const about = facts?.tunnel ?? facts?.link;
    const isSaid = typeof about !== 'string' || message.startsWith(`${about} `);
    const who = isSaid ? '' : `${about}: `;
    stream.write(`${localTime(new Date())} ${at.padEnd(5)} ${cleanText(`${who}${message}`)}\n`);
    const { hint } = facts ?? {};
    for (const line of hintLines((hint ?? null) as Hint | null)) stream.write(`${hintIndent}hint: ${line}\n`);
  };
  return { write, last: write, close: () => Promise.resolve() };
}

/** Several logs as one. */
export function teeLog(logs: readonly Log[]): Log {
  return {
    write(...line) {
      for (const log of logs) log.write(...line);
    },
    last(...line) {
      for (const log of logs) log.last(...line);
    },
    close: async () => void (await Promise.all(logs.map((log) => log.close()))),
  };
}

/** A log in which repeats are counted. */
export function countingLog(log: Log, clock: Clock): Log {
  const counted = new CountedLog(log.write, clock);
  return {
    write: counted.write,
    last(...line) {
      counted.flush();
      log.last(...line);
    },
    close() {
      counted.flush();
      return log.close();
    },
  };
}

export interface OutlivedLog extends Log {
  /** From now on another process writes the file: only what somebody must know is added, and says whose it is. */
  hush(whose: string): void;
}

export function outlivedLog(log: Log): OutlivedLog {
  let whose: string | null = null;
  const late: EngineLog = (level, event, message, facts) => {
    if (ranks[level] >= ranks.warn) log.last(level, event, `${whose}: ${message}`, facts);
  };
  return {
    write: (...line) => (whose === null ? log.write(...line) : late(...line)),
    last: (...line) => (whose === null ? log.last(...line) : late(...line)),
    close: () => log.close(),
    hush(name) {
      whose = name;
    },
  };
}

/** The stack of the error that was thrown first: for the log alone, and for a bug of ours. */
export function stackOf(thrown: unknown): string {
  const root = thrown instanceof TunnelError && thrown.cause instanceof Error ? thrown.cause : thrown;
  return root instanceof Error ? (root.stack ?? root.message) : String(root);
}

/** Under the message. */
const hintIndent = ' '.repeat('2026-11-22 09:14:07 error '.length);

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

function localTime(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Errors become their report: a stack is nobody's business but a bug's, and a cause may hold more than we know. */
function plain(facts: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(facts).map(([key, value]) => {
    if (key === 'hint' && value != null) return [key, hintText(value as Hint)] as const;
    return [key, value instanceof Error ? plainReport(value) : value] as const;
  });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function plainReport(thrown: Error): Record<string, unknown> {
  const report = reportError(asTunnelError(thrown));
  return { ...report, hint: report.hint === null ? null : hintText(report.hint) };
}

interface LineFile {
  write(line: string): void;
  close(): Promise<void>;
}

/** Lines waiting for a disk that does not take them: more are dropped. */
const backlogLimitBytes = 1024 * 1024;
/** How long a file that failed (a full disk) is left alone. */
const reopenAfterMs = 10_000;

/** A rotating file that outlives its errors: what cannot be written is dropped, and the file is opened anew later. */
function openRotating(path: string): LineFile {
  let stream: RotatingFileStream | null = null;
  let failedAt = -Infinity;
  const open = (): RotatingFileStream => {
    const opened = createStream((index) => logFileName(basename(path), Number(index ?? 0)), {
      path: dirname(path),
      size: `${logFileMegabytes}M`,
      rotate: keptLogFiles,
      mode: 0o600,
    });
    opened.on('error', () => {
      failedAt = performance.now();
      if (stream === opened) stream = null;
    });
    opened.on('warning', () => undefined); // a rotation that failed: the next one tries again
    return opened;
  };
  return {
    write(line) {
      if (stream === null && performance.now() - failedAt < reopenAfterMs) return;
      stream ??= open();
      if (stream.writableLength < backlogLimitBytes) stream.write(line);
    },
    close: () =>
      new Promise((resolve) => {
        if (stream === null) return resolve();
        stream.once('close', () => resolve()).once('error', () => resolve());
        stream.end(() => resolve());
      }),
  };
}
