package provider

import "time"

// Exhausted returns how long a credential has to rest because a says that its
// rate limit is used up, at most MaxWait, and 0 when a does not. That may come
// with a success: the next request would be the first that is refused.
func Exhausted(a Answer) time.Duration {
	a.Header = a.Header.Clone()
	a.Header.Del("Retry-After") // of this request, not of the limit
	return waitOf(a, 0)
}
