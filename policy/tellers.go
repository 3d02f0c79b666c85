package policy

// DatadogEvents is an organisation in Datadog that gets events.
type DatadogEvents struct {
	Endpoint
	Wording
	Site       string `json:"site"` // of the organisation; empty with URL
	APIKeyFile string `json:"apiKeyFile"`
}

// HTTP is the site, or the address in between, as HTTP.
func (d DatadogEvents) HTTP() HTTP {
	h := d.Endpoint.HTTP()
	if h.URL == "" {
		h.URL = "https://api." + d.Site
	}
	return h
}

func (d *DatadogEvents) fill() {
	d.Endpoint.fill()
	if d.Site == "" && d.URL == "" {
		d.Site = defaultSite
	}
}

func (k *checker) datadogEvents(path string, d DatadogEvents) {
	k.site(path, d.Site, d.URL)
	if d.APIKeyFile == "" {
		k.errorf(join(path, "apiKeyFile"), "is missing; write the absolute path of the file that holds the key, such as /secrets/datadog-api")
	}
	k.endpoint(path, d.Endpoint)
	k.wording(path, d.Wording)
	k.file(join(path, "apiKeyFile"), d.APIKeyFile)
}
