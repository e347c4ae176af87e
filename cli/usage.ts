/** CPU and memory of this process until now. */
export function usage(): { readonly cpuSeconds: number; readonly peakRssBytes: number } {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakRssBytes: maxRSS * 1024 }
}
